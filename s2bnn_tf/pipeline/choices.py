"""The recipes of a fit but for their length, chosen from the pictures and the memory."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.pipeline.beginning import begin_with, beside_own_teacher
from s2bnn_tf.pipeline.look import Look
from s2bnn_tf.pipeline.options import Options
from s2bnn_tf.pipeline.recipes import load
from s2bnn_tf.pipeline.room import count_memory, memory_of_all
from s2bnn_tf.pipeline.storing import centered, target_width
from s2bnn_tf.runs import options_of
from s2bnn_tf.training import StepMemory, describe_refusal

# What each size of the student is; medium unless the pictures are smaller. Medium is the size that
# the starter has learned at, at which a student that begins as the starter loses least of it.
SIZES: dict[str, tuple[str, ...]] = {
    "small": ("data.image_size=32", "student.width=0.25"),
    "medium": ("data.image_size=96", "student.width=0.25"),
    "large": ("data.image_size=128", "student.width=0.5"),
}
# From so many pictures on, the teacher sees few of them twice in the time that there is: a wider
# one learns more from each, and needs more of the time than the student.
MANY = 10_000
_TEACHER_OF_MANY = "student.width=0.5"
_FEATURES_OF_MANY = "student.embedding_dim=256"  # those of that teacher
_LARGEST_BATCH = 64
_MEDIUM_STEM = 64  # pixels on each side; it does not take smaller inputs, and saves work on others
_SMALL_SIDE = 48  # pixels; the median of smaller pictures is not enlarged to 64
_LARGEST_QUEUE = 16384  # keys
# The keys that the teacher's recipe takes over, too.
_EVERYWHERE = ("data", "seed", "precision", "monitor", "loggers")
# The keys of the shipped recipe that another network may lack.
_OPTIONS = ("stem", "width", "binarize_weights", "kernel_initializer")
_SMALLEST_BATCH = 16  # of the teacher; the student's are half of them where pictures are few


def choose_what_fits(
    look: Look, options: Options, room: int | None
) -> tuple[dict[str, tuple[str, ...]], int]:
    """Choose the changes to each stage's recipe, but for the number of steps.

    The batch is halved, and then a smaller size taken, until they fit; what the user has chosen
    stays as it is.

    Args:
        look: The pictures.
        options: What was asked for.
        room: The bytes of memory that there are; None if that is not known.

    Returns:
        The changes, and the bytes of memory that they need.

    Raises:
        ConfigError: If nothing fits, or an override is not possible.
        UserError: If a given teacher cannot be used.
    """
    counted: dict[str, dict[str, StepMemory]] = {}
    for size, batch in sizes_and_batches(look, options):
        recipes = choose(look, options, size, batch)
        configs = {stage: load(stage, changes) for stage, changes in recipes.items()}
        memories = counted.get(size) or count_memory(configs)
        counted[size] = memories
        batches = {stage: config.data.batch_size for stage, config in configs.items()}
        needed = memory_of_all(memories, batches)
        if room is None or needed <= room:
            return recipes, needed
    worst = max(memories, key=lambda stage: memories[stage].total(batches[stage]))
    last = dataclasses.replace(memories[worst], batch_size=batches[worst])
    others = needed - last.total()  # what the graphs of the other stages take
    raise ConfigError(describe_refusal(last, (room or 0) - others))


def sizes_and_batches(look: Look, options: Options) -> Iterator[tuple[str, int]]:
    """The choices that are left to us, the best first."""
    small = look.side < _SMALL_SIDE
    sizes = (options.size,) if options.size else ("small",) if small else ("medium", "small")
    largest = 2 ** int(math.log2(max(2, min(_LARGEST_BATCH, look.train // 4))))
    given = any(override.startswith("data.batch_size=") for override in options.overrides)
    for size in sizes:
        batch = largest
        yield size, batch
        while not given and batch > _SMALLEST_BATCH:
            batch //= 2
            yield size, batch


def choose(look: Look, options: Options, size: str, batch: int) -> dict[str, tuple[str, ...]]:
    """The changes to each stage's recipe, but for the number of steps."""
    source = json.dumps(look.source)
    image_size, *student = SIZES[size]
    given = tuple(o for o in options.overrides if not o.startswith("steps="))
    everywhere = [o for o in given if o.split("=")[0].split(".")[0] in _EVERYWHERE]
    source_and_size = (f"data.source={source}", image_size)
    data = load("step1", (*source_and_size, *everywhere)).data
    if data.batch_size > look.train and any(o.startswith("data.batch_size=") for o in given):
        raise ConfigError(
            f"data.batch_size: there are {look.train} pictures to learn from, fewer than a batch "
            f"of {data.batch_size}; set it to {look.train // 2} or less."
        )
    shared = (*source_and_size, *_augmentation(look, color=look.color and data.channels == 3))
    recipes: dict[str, tuple[str, ...]] = {}
    teacher, many = options.teacher, look.train >= MANY
    if teacher is None:
        queue = max(batch, min(_LARGEST_QUEUE, look.train * 4 // 5) // batch * batch)
        recipes["teacher"] = (
            *shared,
            f"data.batch_size={batch}",
            f"objective.queue_size={queue}",
            *([_TEACHER_OF_MANY] if many else []),
            *everywhere,
        )
    stem = "medium" if min(data.shape[:2]) >= _MEDIUM_STEM else "small"
    network, two_steps = _choose_student(given, (f"student.stem={stem}", *student))
    own = (*shared, f"data.batch_size={batch if many else max(2, batch // 2)}", *network)
    if teacher is None and many:
        own += (_FEATURES_OF_MANY,)
    elif teacher is not None:
        # Words are in the teacher's own space, which centered targets leave.
        fewer = centered(given) if options.words is None else ()
        own += (f"teacher.weights={json.dumps(teacher)}", *fewer)
        width = target_width(load("step1", (*own, *given)))
        own += (f"student.embedding_dim={width}",)
    step1 = load("step1", (*own, *given))
    if not many:  # else its own teacher sees enough
        own += beside_own_teacher(options, step1)
    first = begin_with(options.init, step1)
    if two_steps:
        recipes["step1"] = (*own, *first, *given)
        recipes["student"] = (*own, *given)
    else:
        recipes["student"] = (*own, *(first or ("student.init_from=null",)), *given)
    return recipes


def _choose_student(
    given: tuple[str, ...], changes: tuple[str, ...]
) -> tuple[tuple[str, ...], bool]:
    """The changes that fit the student's network, and whether it trains in two steps.

    A network without `binarize_weights` has one step: its weights are bits from the beginning, or
    never.

    Args:
        given: The user's changes, which may name a network.
        changes: The changes for the network of the recipe.
    """
    of_student = tuple(change for change in given if not change.startswith("teacher."))
    backbone = load("student", of_student).student.backbone
    options = options_of(backbone)
    surplus = [f"student.{name}=null" for name in _OPTIONS if name not in options]
    return (*changes, *surplus), "binarize_weights" in options


def _augmentation(look: Look, *, color: bool) -> tuple[str, ...]:
    """How far training may change a picture, by what can be seen without labels.

    Brightness says nothing about gray pictures, while color often tells colored ones apart: see
    docs/results.md. What is small was cut out by somebody already, so that its borders belong to
    it and little of it may be missing.
    """
    of_color = () if color else ("data.jitter_probability=0.9",)
    of_size = ("data.crop_scale=[0.3, 1.0]", "data.center_crop=1.0")
    return (*of_color, *(of_size if look.side < _SMALL_SIDE else ()))
