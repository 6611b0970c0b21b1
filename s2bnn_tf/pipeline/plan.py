"""The recipes of a fit, chosen from the pictures, the time and the machine, and written once."""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from s2bnn_tf.config import Config, StudentConfig, load_config
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.image_size import describe_size
from s2bnn_tf.objectives import check_objective
from s2bnn_tf.pipeline.look import Look
from s2bnn_tf.pipeline.objects import is_binary_network
from s2bnn_tf.pipeline.room import count_memory, memory_of_all
from s2bnn_tf.pipeline.storing import (
    centered,
    check_features,
    may_store,
    rehearsal,
    store_targets,
    target_width,
)
from s2bnn_tf.progress import Progress, no_progress
from s2bnn_tf.recipes import config_path
from s2bnn_tf.runs import is_keras_file, leave_untrained, options_of, plugins_of
from s2bnn_tf.training import (
    Cost,
    StepMemory,
    check_loggers,
    describe_refusal,
    return_memory,
    room_to_train,
    time_steps,
)

STAGES = ("teacher", "step1", "student")
_FILES = {
    "teacher": "fit/teacher.yaml",
    "step1": "fit/regression_step1.yaml",
    "student": "fit/regression_step2.yaml",
}
# What each size of the student is; medium unless the pictures are smaller.
SIZES: dict[str, tuple[str, ...]] = {
    "small": ("data.image_size=32", "student.width=0.25"),
    "medium": ("data.image_size=64", "student.width=0.25"),
    "large": ("data.image_size=128", "student.width=0.5"),
}
_MANY = 10_000  # pictures
_MEDIUM_STEM = 64  # pixels on each side; it does not take smaller inputs, and saves work on others
_SMALL_SIDE = 48  # pixels; the median of smaller pictures is not enlarged to 64
# The share of the time that is trained in; measuring, conversion and the report take the rest.
_SHARES = {"teacher": 0.25, "step1": 0.45, "student": 0.30}
_MOST_PASSES = {"teacher": 250, "step1": 250, "student": 150}  # over the pictures
MOST_MEASURED = 10_000  # pictures to learn from, and as many to measure with
_REST_SECONDS = 60.0  # measuring, conversion and the report, with few pictures
# Seconds, most of them for the linear probe of 32x32 pixels: without color, and with it
_PROBES_PER_PICTURE = (0.01, 0.02)
_ENCODING = 0.2  # of the time that a step takes for a picture; at most twice of what was measured
_FEWEST_STEPS = 100
_LARGEST_QUEUE = 16384  # keys
# The keys that the teacher's recipe takes over, too.
_EVERYWHERE = ("data", "seed", "precision", "monitor", "loggers")
# The keys of the shipped recipe that another network may lack.
_OPTIONS = ("stem", "width", "binarize_weights", "kernel_initializer")
_SMALLEST_BATCH = 16  # of the teacher; the student's are half of them


@dataclass(frozen=True)
class Options:
    """What the user asks for, and what resuming compares.

    Attributes:
        minutes: The time of the whole command.
        teacher: A run directory, the name of a published teacher, a `.keras` file or a file of
            features; None to train one.
        size: One of SIZES; None to choose by the pictures.
        init: A run directory to start the student from.
        overrides: Changes to the recipes, as `section.key=value`.
        share: The share of the pictures that is held out.
        target: The kind of device.
        given: The names and digests of objects of the calling program; see `take_objects`.
        words: A list of words, or a file of `s2bnn words`, to name pictures by; None for neither.
    """

    minutes: float = 30.0
    teacher: str | None = None
    size: str | None = None
    init: str | None = None
    overrides: tuple[str, ...] = ()
    share: float = 0.2
    target: str = "linux-aarch64"
    given: tuple[str, ...] = ()
    words: str | None = None


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        options: What was asked for.
        look: What was found.
        recipes: The changes to the shipped recipe of each stage.
        minutes: The expected time of each stage; empty if no steps were timed.
        memory_mib: The expected peak of memory, as `s2bnn summary` counts it; 0 likewise.
    """

    options: Options
    look: Look
    recipes: dict[str, tuple[str, ...]]
    minutes: dict[str, float]
    memory_mib: int

    def config(self, stage: str) -> Config:
        """The recipe of a stage.

        Raises:
            ConfigError: If it is not possible.
        """
        return load_config(config_path(_FILES[stage]), self.recipes[stage])

    def lines(self) -> list[str]:
        """The plan in about ten lines."""
        student = self.config("student")
        look, data = self.look, student.data
        own = "teacher" in self.recipes
        lines = [
            f"pictures   {look.train:,} to learn from, {look.test:,} to measure with"
            + (f" ({MOST_MEASURED:,} of each)" if look.train > MOST_MEASURED else ""),
            f"classes    {len(look.class_names) or 'none'}"
            + (", used to measure and never to learn" if look.class_names else ""),
            f"input      {describe_size(data.image_size)} {'gray ' * (data.channels == 1)}pixels, "
            f"crops of {100 * (data.crop_scale or (0, 0))[0]:.0f} to 100 % of a picture",
            f"color      {'can tell' if look.color and data.channels == 3 else 'cannot tell'} the "
            "pictures apart: "
            f"{100 * (data.jitter_probability or 0):.0f} % of the crops are changed in it",
            f"student    {_describe(student.student, 'step1' in self.recipes)}",
            "teacher    its own, by contrast: enough to start with, and less than a network that "
            "has seen millions of pictures: of photographs, --teacher dinov2_vits14 (Apache-2.0); "
            "s2bnn teachers lists more"
            if own
            else f"teacher    {self.options.teacher}{_describe_storing(student)}",
        ]
        for stage in self.recipes:
            config = self.config(stage)
            passes = (config.steps or 0) * config.data.batch_size / look.train
            lines.append(
                f"{stage:<10} {config.steps:,} steps of {config.data.batch_size} pictures "
                f"({passes:,.0f} passes)"
                + (f", {self.minutes[stage]:.1f} minutes" if self.minutes else "")
            )
        if self.minutes:
            rest, total = self.minutes["rest"], sum(self.minutes.values())
            lines.append(f"rest       {rest:.1f} minutes to measure, convert, and report")
            lines.append(f"in all     {total:.0f} minutes, {self.memory_mib:,} MiB of memory")
        return lines


def make_plan(
    look: Look,
    options: Options,
    spent: float,
    progress: Progress | None = None,
    *,
    timed: bool = True,
) -> Plan:
    """Choose the recipes, and time a few real steps of them.

    Args:
        look: The pictures.
        options: What was asked for.
        spent: The seconds that are spent already.
        progress: Called at the start of each step.
        timed: Whether to time steps, and to count their memory; without, `options.overrides` names
            their number.

    Raises:
        ConfigError: If the time or the memory allows nothing, or an override is not possible.
        UserError: If the teacher cannot be used.
    """
    given = tuple(o for o in options.overrides if o.startswith("steps="))
    check_features(options.teacher, look)
    if not timed:
        recipes = _choose(look, options, *next(_sizes_and_batches(look, options)))
        complete = {s: (*r, *given, *_plugins(_load(s, r))) for s, r in recipes.items()}
        return Plan(options, look, complete, {}, 0)
    recipes, memory = choose_what_fits(look, options, room_to_train())
    stores = may_store(options.teacher, options.overrides)
    costs = _time(recipes, options, progress or no_progress, stores=stores)
    rest = _rest(look, recipes, costs)
    begin = sum(cost.start_seconds for cost in costs.values())
    left = 60 * options.minutes - spent - rest - begin
    student = _load("student", recipes["student"])
    recipes, costs, storing = store_targets(
        recipes, costs, student, look.train, left, stores=stores
    )
    spent += rest + begin + storing
    recipes, minutes = _set_lengths(recipes, costs, options, look.train, spent)
    minutes["step1" if "step1" in recipes else "student"] += storing / 60
    return Plan(options, look, recipes, {**minutes, "rest": rest / 60}, memory // 2**20)


def _set_lengths(
    recipes: dict[str, tuple[str, ...]],
    costs: dict[str, Cost],
    options: Options,
    pictures: int,
    spent: float,
) -> tuple[dict[str, tuple[str, ...]], dict[str, float]]:
    """Give each stage its share of the seconds that are not spent.

    Returns:
        The recipes with their steps, and the minutes of each stage.

    Raises:
        ConfigError: If the time is too short for any of them.
    """
    given = tuple(o for o in options.overrides if o.startswith("steps="))
    whole, complete, minutes = sum(_SHARES[stage] for stage in recipes), {}, {}
    for stage, changes in recipes.items():
        cost = costs[stage]
        config = _load(stage, (*changes, *given))
        if not given:
            most = math.ceil(_MOST_PASSES[stage] * pictures / config.data.batch_size)
            share = (60 * options.minutes - spent) * _SHARES[stage] / whole
            steps = min(int(share / cost.seconds), most)
            if steps < _FEWEST_STEPS:
                needed = _FEWEST_STEPS * cost.seconds * whole / _SHARES[stage]
                raise ConfigError(
                    f"{options.minutes:g} minutes are too few for anything here; give at least "
                    f"--minutes {math.ceil((spent + needed) / 60)}."
                )
            config = dataclasses.replace(config, steps=steps)
        complete[stage] = (*changes, f"steps={config.steps}", *_plugins(config))
        minutes[stage] = ((config.steps or 0) * cost.seconds + cost.start_seconds) / 60
    return complete, minutes


def _rest(look: Look, recipes: dict[str, tuple[str, ...]], costs: dict[str, Cost]) -> float:
    """The seconds of measuring, conversion and the report, by the timed steps."""
    measured = sum(min(count, MOST_MEASURED) for count in (look.train, look.test))
    of_one = {
        stage: _ENCODING * costs[stage].seconds / _load(stage, recipes[stage]).data.batch_size
        for stage in recipes
    }
    student = of_one["student"]
    teacher = of_one.get("teacher", costs["student"].crop_seconds or student)
    encoding = measured * (teacher + student)  # and the untrained student
    encoding += (look.train + look.test) * student  # the features of all pictures
    probes = min(look.train, MOST_MEASURED) * _PROBES_PER_PICTURE[look.color]
    return _REST_SECONDS + probes + encoding


def _plugins(config: Config) -> tuple[str, ...]:
    """The change that names the plugins which a recipe needs, if it needs any."""
    names = plugins_of(config)
    return (f"plugins={json.dumps(names)}",) if names else ()


def _time(
    recipes: dict[str, tuple[str, ...]], options: Options, report: Progress, *, stores: bool
) -> dict[str, Cost]:
    """Train a few steps of each stage; both steps of the student cost the same.

    Where the teacher may store its targets, the student's steps are timed with stored ones.
    """
    costs: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as temporary:
        teacher: str | Path = options.teacher or ""
        if "teacher" in recipes:
            report("Timing the teacher's steps")
            config = _load("teacher", recipes["teacher"])
            costs["teacher"] = time_steps(config)
            return_memory()
            teacher = leave_untrained(config, Path(temporary) / "teacher").path
        report("Timing the student's steps")
        stage = "step1" if "step1" in recipes else "student"
        changes = rehearsal(recipes[stage]) if stores else recipes[stage]
        timed = _load(stage, (*changes, f"teacher.weights={json.dumps(str(teacher))}"))
        costs["step1"] = costs["student"] = time_steps(timed)
    return_memory()
    return costs


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
    for size, batch in _sizes_and_batches(look, options):
        recipes = _choose(look, options, size, batch)
        configs = {stage: _load(stage, changes) for stage, changes in recipes.items()}
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


def _sizes_and_batches(look: Look, options: Options) -> Iterator[tuple[str, int]]:
    """The choices that are left to us, the best first."""
    small = look.side < _SMALL_SIDE
    sizes = (options.size,) if options.size else ("small",) if small else ("medium", "small")
    largest = 2 ** int(math.log2(max(2, min(_largest_batch(look), look.train // 4))))
    given = any(override.startswith("data.batch_size=") for override in options.overrides)
    for size in sizes:
        batch = largest
        yield size, batch
        while not given and batch > _SMALLEST_BATCH:
            batch //= 2
            yield size, batch


def _choose(look: Look, options: Options, size: str, batch: int) -> dict[str, tuple[str, ...]]:
    """The changes to each stage's recipe, but for the number of steps."""
    source = json.dumps(look.source)
    image_size, *student = SIZES[size]
    given = tuple(o for o in options.overrides if not o.startswith("steps="))
    everywhere = [o for o in given if o.split("=")[0].split(".")[0] in _EVERYWHERE]
    source_and_size = (f"data.source={source}", image_size)
    data = _load("step1", (*source_and_size, *everywhere)).data
    if data.batch_size > look.train and any(o.startswith("data.batch_size=") for o in given):
        raise ConfigError(
            f"data.batch_size: there are {look.train} pictures to learn from, fewer than a batch "
            f"of {data.batch_size}; set it to {look.train // 2} or less."
        )
    shared = (*source_and_size, *_augmentation(look, color=look.color and data.channels == 3))
    recipes = {}
    teacher = options.teacher
    if teacher is None:
        queue = max(batch, min(_LARGEST_QUEUE, look.train * 4 // 5) // batch * batch)
        recipes["teacher"] = (
            *shared,
            f"data.batch_size={batch}",
            f"objective.queue_size={queue}",
            *everywhere,
        )
    stem = "medium" if min(data.shape[:2]) >= _MEDIUM_STEM else "small"
    network, two_steps = _choose_student(given, (f"student.stem={stem}", *student))
    own = (*shared, f"data.batch_size={max(2, batch // 2)}", *network)
    if teacher is not None:
        # Words are in the teacher's own space, which centered targets leave.
        fewer = centered(given) if options.words is None else ()
        own += (f"teacher.weights={json.dumps(teacher)}", *fewer)
        width = target_width(_load("step1", (*own, *given)))
        own += (f"student.embedding_dim={width}",)
    first = (f"student.init_from={json.dumps(options.init)}",) if options.init else ()
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
    backbone = _load("student", of_student).student.backbone
    options = options_of(backbone)
    surplus = [f"student.{name}=null" for name in _OPTIONS if name not in options]
    return (*changes, *surplus), "binarize_weights" in options


def _describe(student: StudentConfig, two_steps: bool) -> str:
    """The student in a line of the plan."""
    if is_keras_file(student.backbone):
        binary = is_binary_network(student.backbone)
        kind = "1-bit layers" if binary else "real-valued, since it has no 1-bit layers"
        return f"a Keras network of your own, {kind}; in one step, as it is"
    parts = [student.backbone]
    parts += [f"width {student.width:g}"] if student.width is not None else []
    parts += [f"{student.stem} stem"] if student.stem is not None else []
    parts += ["1-bit weights and activations"] if two_steps else ["in one step, as it is"]
    return ", ".join(parts)


def _describe_storing(student: Config) -> str:
    """How the targets of a given teacher come about, where it does not run along."""
    teacher = student.teacher
    if teacher is None or not teacher.cache:
        return ""
    return f", which looks once at {teacher.crops} crops of each picture"


def _augmentation(look: Look, *, color: bool) -> tuple[str, ...]:
    """How far training may change a picture, by what can be seen without labels.

    Brightness says nothing about gray pictures, while color often tells colored ones apart: see
    docs/results.md. What is small was cut out by somebody already, so that its borders belong to
    it and little of it may be missing.
    """
    of_color = () if color else ("data.jitter_probability=0.9",)
    of_size = ("data.crop_scale=[0.3, 1.0]", "data.center_crop=1.0")
    return (*of_color, *(of_size if look.side < _SMALL_SIDE else ()))


def _largest_batch(look: Look) -> int:
    """With many pictures there are steps enough for a batch that computes faster."""
    return 64 if look.train < _MANY else 128


def _load(stage: str, overrides: tuple[str, ...]) -> Config:
    return load_config(config_path(_FILES[stage]), overrides)


def place(plan: Plan, output_dir: Path) -> Plan:
    """Name the runs of a plan that others start from, below the output directory."""
    recipes = dict(plan.recipes)
    if "teacher" in recipes:
        teacher = json.dumps(str(output_dir / "teacher"))
        for stage in recipes.keys() - {"teacher"}:
            recipes[stage] = (*recipes[stage], f"teacher.weights={teacher}")
    if "step1" in recipes:
        step1 = json.dumps(str(output_dir / "step1"))
        recipes["student"] = (*recipes["student"], f"student.init_from={step1}")
    return dataclasses.replace(plan, recipes=recipes)


def check_overrides(options: Options) -> None:
    """Refuse changes that no recipe accepts, before anything is looked at.

    Raises:
        ConfigError: If a key or a value is not accepted, or a logger is not installed, or there
            is no such network.
    """
    config = _load("student", options.overrides)
    options_of(config.student.backbone)
    objective = config.objective
    if options.words is not None and not (objective.regression_weight or objective.words_weight):
        raise ConfigError(
            "--words needs a student that learns its teacher's features: leave the objective at "
            "regression, or set objective.words_weight."
        )
    if config.objective.custom is not None:
        check_objective(config.objective.custom)
    check_loggers(config.loggers)


def check_same(plan: Plan, options: Options, path: Path) -> None:
    """Refuse to resume a plan with other options than those it was made for.

    Raises:
        ConfigError: If an option differs; the message names it.
    """
    names = [field.name for field in dataclasses.fields(Options)]
    differing = [
        f"{name}: {getattr(plan.options, name)}, now {getattr(options, name)}"
        for name in names
        if getattr(plan.options, name) != getattr(options, name)
    ]
    if differing:
        raise ConfigError(
            f"{path} holds a fit with other options ({'; '.join(differing)}); undo that, or "
            "choose another --output-dir."
        )
