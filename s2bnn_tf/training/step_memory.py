"""How much memory training takes on a processor, counted before it takes any.

The peak of a process that trains has five parts, and each is counted from the recipe:

- the program: Python, TensorFlow, and its graphs, which grow with the number of operations;
- weights: those of all networks, their gradients' sums, what the optimizer keeps, the queue;
- images: those of a data set that is held in memory as a whole;
- views: batches that are ready, being made, or being read;
- tensors of the step: all that the backward pass needs of the forward pass, at its fullest.

Only the program cannot be counted. Its two constants, and the share of memory that lies idle
between the tensors, are fitted to measurements by `benchmarks/peak_memory.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config
from s2bnn_tf.data import bytes_in_memory
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.layers import leaf_layers
from s2bnn_tf.objectives import KeyQueue
from s2bnn_tf.runs import build_encoder
from s2bnn_tf.training.available_memory import available_memory, resident_memory
from s2bnn_tf.training.build import loss_arguments, use_kernels
from s2bnn_tf.training.live_tensors import LiveTensors, live_tensors
from s2bnn_tf.training.precision import precision
from s2bnn_tf.training.pretrainer import Pretrainer

keras = tf.keras

# Fitted by benchmarks/peak_memory.py, whose results hold the errors.
_PROGRAM_BYTES = 660 * 2**20
_BYTES_PER_OPERATION = 63 * 2**10
_IDLE = 1.12  # of the step's tensors: gaps between them, workspaces, operations out of order

# For each weight that is trained: what the optimizer keeps, in weights.
_SLOTS = {"adam": 2, "sgd": 1, "lamb": 2}
# Batches of float views: two that are ready, two that are normalized, and one that is read.
_BATCHES = 5
_SMALLEST_BATCH = 2
_PLAIN_BASE = 2 * 2**30  # more than the program of any recipe
_SCORED = 256  # images that `monitor.knn_every` encodes at a time


@dataclass(frozen=True)
class StepMemory:
    """The memory of a process that trains, in bytes, as a function of the batch.

    Attributes:
        operations: The number of operations of a step, for each of which the program is larger.
        weights: Weights, gradients, the optimizer's state and the queue.
        accumulated: What adding up the gradients of several parts takes.
        images: The images of a data set that is held in memory.
        view: One image's views, in all the batches that exist at the same time.
        student: The tensors of the student, forward and backward.
        others: Those of the teacher and of the momentum encoder, which run forward only, and at
            the same time.
        scored: Those of the student where it is scored, which is `_SCORED` images at a time; None
            if it is not.
        batch_size: The batch of the recipe.
        parts: The parts that the recipe computes it in.
    """

    operations: int
    weights: float
    accumulated: float
    images: int
    view: float
    student: LiveTensors
    others: tuple[LiveTensors, ...]
    scored: LiveTensors | None
    batch_size: int
    parts: int

    @property
    def graphs(self) -> int:
        """The bytes of the program that come with the operations of this step."""
        return _BYTES_PER_OPERATION * self.operations

    def by_purpose(self, batch: int | None = None, parts: int | None = None) -> dict[str, int]:
        """Return the bytes of `program`, `weights`, `images`, `views` and `tensors`.

        Args:
            batch: The size of the batch; that of the recipe by default.
            parts: The number of parts that it is computed in; that of the recipe by default.
        """
        batch, parts = batch or self.batch_size, parts or self.parts
        part = -(-batch // parts)
        tensors = sum(live.peak(part) for live in (self.student, *self.others))
        if self.scored is not None:
            tensors = max(tensors, self.scored.peak(_SCORED))
        return {
            "program": _PROGRAM_BYTES + self.graphs,
            "weights": round(self.weights + (self.accumulated if parts > 1 else 0.0)),
            "images": self.images,
            "views": round(batch * self.view),
            "tensors": round(_IDLE * tensors),
        }

    def total(self, batch: int | None = None, parts: int | None = None) -> int:
        """Return all bytes, for the arguments of `by_purpose`."""
        return sum(self.by_purpose(batch, parts).values())

    def largest_batch(self, room: int) -> int | None:
        """Return the largest batch that fits into some bytes, in the recipe's parts.

        Returns:
            A multiple of the recipe's parts; None if nothing fits.
        """
        fits, too_large = 0, 1  # in images of a part
        while self.total(self.parts * too_large) <= room:
            fits, too_large = too_large, 2 * too_large
        while too_large - fits > 1:
            middle = (fits + too_large) // 2
            if self.total(self.parts * middle) <= room:
                fits = middle
            else:
                too_large = middle
        return self.parts * fits if fits >= _SMALLEST_BATCH else None

    def fewest_parts(self, room: int) -> int | None:
        """Return the `accumulation_steps` with which the recipe's batch fits into some bytes.

        Returns:
            A divisor of the batch; None if no part of two images or more is small enough.
        """
        for parts in range(1, self.batch_size // _SMALLEST_BATCH + 1):
            if self.batch_size % parts == 0 and self.total(parts=parts) <= room:
                return parts
        return None


def count_step_memory(
    config: Config,
    *,
    student: Encoder | None = None,
    teacher: Encoder | None = None,
    images: int | None = None,
) -> StepMemory:
    """Count the memory that training takes on a processor, without training.

    Args:
        config: The recipe.
        student: The student, if it is built already.
        teacher: The teacher; without it, its part is not counted.
        images: The bytes of the images that are held in memory, if the recipe's source is open
            already.

    Returns:
        The memory, for any size of the batch.

    Raises:
        ConfigError: If the recipe describes no network.
        ModelError: If the images are too small for it.
    """
    if student is None:
        with precision(config):
            student = build_encoder(config)
    use_kernels(student)
    counted = _counted(config, student, teacher)
    shape = config.data.shape
    backward, forward = live_tensors(lambda images: _step(counted, images), shape)
    others = [forward] if counted.momentum_encoder is not None else []
    if teacher is not None:
        others += live_tensors(lambda images: [[teacher(images, training=False)]], shape)
    trained, whole = _bytes(student.trainable_variables), _bytes(student.variables)
    weights = whole + _SLOTS[config.optimizer.name] * trained
    weights += whole if counted.momentum_encoder is not None else 0
    weights += _bytes(teacher.variables) + _outside(teacher) if teacher is not None else 0
    weights += _bytes([counted.queue.keys]) if counted.queue is not None else 0
    return StepMemory(
        weights=weights,
        accumulated=trained,
        images=bytes_in_memory(config.data.source) if images is None else images,
        view=4 * math.prod(shape) * counted.views * _BATCHES,
        operations=sum(live.operations for live in (backward, *others)),
        student=backward,
        others=tuple(others),
        scored=forward if config.monitor.knn_every else None,
        batch_size=config.data.batch_size,
        parts=config.optimizer.accumulation_steps,
    )


def check_step_fits(
    config: Config,
    *,
    student: Encoder | None = None,
    teacher: Encoder | None = None,
    images: int | None = None,
) -> None:
    """Refuse a recipe whose steps do not fit into the memory that is available.

    On a GPU, nothing is judged.

    Args:
        config: The recipe.
        student: As for `count_step_memory`.
        teacher: As for `count_step_memory`.
        images: As for `count_step_memory`.

    Raises:
        ConfigError: If it does not fit; the message says what would.
    """
    room = room_to_train()
    if room is None or plainly_small(config, student, teacher, room - (images or 0)):
        return
    memory = count_step_memory(config, student=student, teacher=teacher, images=images)
    if memory.total() > room:
        raise ConfigError(describe_refusal(memory, room))


def plainly_small(
    config: Config, student: Encoder | None, teacher: Encoder | None, room: int
) -> bool:
    """Whether a step needs so little that counting, which takes seconds, is not worth its time.

    Twice the student stands for its momentum encoder. A step holds 1.3 times what the layers put
    out at once (ReActNet), and the estimate takes four times as much. So a step whose estimate is
    below the room fits by far; any other is counted.
    """
    networks = [network for network in (student, student, teacher) if network is not None]
    try:
        outputs = sum(_output_values(network) for network in networks)
    except (AttributeError, TypeError):  # a network whose shapes Keras does not know
        return False
    weights = sum(_bytes(network.variables) + _outside(network) for network in networks)
    return _PLAIN_BASE + 4 * weights + 4 * 4 * outputs * config.data.batch_size < room


def _output_values(network: Encoder) -> int:
    """The number of values that the layers of a network put out for one image."""
    return sum(
        math.prod(tensor.shape[1:])
        for layer in leaf_layers(network.backbone)
        for tensor in tf.nest.flatten(layer.output)
    )


def room_to_train() -> int | None:
    """Return the bytes that this process may have in all; None if it is not for us to judge."""
    available = available_memory()
    if available is None or tf.config.list_physical_devices("GPU"):
        return None
    return available + resident_memory()


def describe_refusal(memory: StepMemory, room: int) -> str:
    """Say that a step does not fit, and what would."""
    batch, parts = memory.largest_batch(room), memory.fewest_parts(room)
    ways = []
    if batch is not None:
        ways.append(f"set data.batch_size to {batch} or less")
    if parts is not None:
        ways.append(f"optimizer.accumulation_steps to {parts}, which computes it in parts")
    if not ways:
        ways.append("choose a smaller data.image_size or smaller networks")
    elif batch is None:
        ways[0] = f"set {ways[0]}"
    return (
        f"A step of {memory.batch_size} images needs about {gibibytes(memory.total())} of memory, "
        f"and {gibibytes(room)} are available: {', or '.join(ways)}."
    )


def gibibytes(size: float) -> str:
    """Write a size in bytes for people.

    >>> gibibytes(1536 * 2**20)
    '1.5 GiB'
    """
    return f"{size / 2**30:.1f} GiB"


def _counted(config: Config, student: Encoder, teacher: Encoder | None) -> Pretrainer:
    """The step of a recipe, with the student in the place of its own momentum encoder."""
    objective = config.objective
    queue = None
    if objective.contrastive_weight > 0 or objective.similarity_weight > 0:
        queue = KeyQueue(objective.queue_size, student.embedding_dim)
    if teacher is None and config.teacher is not None:  # its losses are there, and take memory
        image = keras.Input((1, 1, student.embedding_dim))
        teacher = Encoder(keras.Model(image, keras.layers.Flatten()(image)))
    return Pretrainer(
        student=student,
        teacher=teacher,
        momentum_encoder=student if objective.contrastive_weight > 0 else None,
        queue=queue,
        **loss_arguments(objective),
    )


def _step(counted: Pretrainer, images: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """The gradient of a step, as `Pretrainer.differentiate` computes it, and its embeddings."""
    key = target = tf.zeros((images.shape[0], counted.student.embedding_dim))
    if counted.places is not None:
        target = tf.zeros((images.shape[0], counted.places.teacher.width))
    with tf.GradientTape() as tape:
        query = counted.look(images)
        losses = counted.losses_of(query, key, target)
        loss = tf.add_n([w * losses[name] for name, w in counted.objective_weights.items()])
    return tape.gradient(loss, counted.student.trainable_variables), [query]


def _outside(network: Encoder) -> int:
    """The bytes that a network takes outside of TensorFlow, as that of a .onnx file does."""
    return sum(getattr(layer, "outside_bytes", 0) for layer in leaf_layers(network.backbone))


def _bytes(variables: list[tf.Variable]) -> int:
    return sum(variable.shape.num_elements() * variable.dtype.size for variable in variables)
