"""Recipes: frozen dataclasses, filled from YAML and dotted overrides.

The dataclasses below define every key with its type, range and default; nothing
else is accepted. A recipe is data: loading one never executes anything.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from s2bnn_tf.config_loader import apply_override, build, read_tree
from s2bnn_tf.defaults import CENTER_CROP
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.image_size import ImageSize, Shape, height_width
from s2bnn_tf.plugins import expect, is_module_name


def _number(
    default: float | None,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
) -> Any:
    limits = {"at_least": at_least, "above": above, "at_most": at_most}
    return field(default=default, metadata={k: v for k, v in limits.items() if v is not None})


def _choice(default: str | int | None, *choices: str | int) -> Any:
    return field(default=default, metadata={"choices": choices})


def _choices(default: tuple[str, ...], *choices: str) -> Any:
    return field(default=default, metadata={"choices": choices})


def _per_channel(*, above: float | None = None, at_most: float) -> Any:
    limits = {"above": above} if above is not None else {}
    return field(default=None, metadata={"per_channel": True, "at_most": at_most, **limits})


def _image_size(default: int, *, at_least: int, at_most: int) -> Any:
    return field(
        default=default, metadata={"image_size": True, "at_least": at_least, "at_most": at_most}
    )


# The losses by their names in metrics.jsonl; `objective.NAME_weight` is the weight of each.
OBJECTIVES = (
    *("contrastive", "distillation", "similarity", "regression", "words", "places", "signs"),
    "custom",
)
_OF_MAPS = ("places", "signs")  # losses about the map, which no head and no stored target has

# The student's head. One for distributions and similarities is MoCo v2's; features, which were made
# for no head, are met by a deeper one, as in SimReg (https://arxiv.org/abs/2201.05131).
_HEAD, _HEAD_FOR_FEATURES = "linear relu linear", "linear bn relu linear bn relu linear"

# The fields of DataConfig that `data.augmentation` fills in if they are not set.
# light: section 3 of the S2-BNN paper; moco_v2: https://arxiv.org/abs/2003.04297; weak, crops and
# flips alone: https://arxiv.org/abs/2106.05237, which distills with it.
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "light": {
        "crop_scale": (0.2, 1.0),
        "jitter_probability": 0.6,
        "blur_probability": 0.2,
        "grayscale_probability": 0.2,
        "flip_probability": 0.5,
    },
    "moco_v2": {
        "crop_scale": (0.2, 1.0),
        "jitter_probability": 0.8,
        "blur_probability": 0.5,
        "grayscale_probability": 0.2,
        "flip_probability": 0.5,
    },
    "weak": {
        "crop_scale": (0.2, 1.0),
        "jitter_probability": 0.0,
        "blur_probability": 0.0,
        "grayscale_probability": 0.0,
        "flip_probability": 0.5,
    },
}


@dataclass(frozen=True)
class DataConfig:
    """The images, and how views are made from them."""

    # digits | a folder | list:FILE | video:PATH | idx:DIR | tfrecord:DIR | tfds:NAME
    source: str = "digits"
    # Pixels per side of a view, or its height and width, as in [96, 320].
    image_size: ImageSize = _image_size(224, at_least=8, at_most=4096)
    channels: int = _choice(3, 3, 1)  # 1: the pictures become gray
    batch_size: int = _number(256, at_least=2, at_most=65536)
    augmentation: str = _choice("light", *AUGMENTATIONS)
    crop_scale: tuple[float, float] | None = _number(None, above=0.0, at_most=1.0)  # area
    jitter_probability: float | None = _number(None, at_least=0.0, at_most=1.0)
    blur_probability: float | None = _number(None, at_least=0.0, at_most=1.0)
    grayscale_probability: float | None = _number(None, at_least=0.0, at_most=1.0)
    flip_probability: float | None = _number(None, at_least=0.0, at_most=1.0)
    # Fraction of the shorter side that evaluation keeps.
    center_crop: float = _number(CENTER_CROP, above=0.0, at_most=1.0)

    def __post_init__(self) -> None:
        for name, value in AUGMENTATIONS.get(self.augmentation, {}).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    @property
    def shape(self) -> Shape:
        """Height, width and channels of a view."""
        return (*height_width(self.image_size), self.channels)


@dataclass(frozen=True)
class StudentConfig:
    """The network that is trained. None keeps the backbone's default."""

    backbone: str = "reactnet"
    stem: str | None = _choice(None, "imagenet", "medium", "small")
    width: float | None = _number(None, above=0.0, at_most=16.0)
    binarize_weights: bool | None = None
    kernel_initializer: str | None = _choice(None, "glorot_uniform", "small_positive")
    # Rotate the kernels and the image by 180 degrees, as in networks imported from PyTorch.
    reverse_input: bool | None = None
    # Of a vision transformer.
    patch_size: int | None = _number(None, at_least=1, at_most=256)  # pixels
    registers: int | None = _number(None, at_least=0, at_most=64)
    position_grid: int | None = _number(None, at_least=1, at_most=256)  # embeddings per side
    layer_scale: bool | None = None
    # With a teacher, the dimension of its output counts instead.
    embedding_dim: int = _number(128, at_least=2, at_most=65536)
    head: str | None = None  # of linear, bn, relu, gelu; or none. Config chooses by the objective
    # Of the head; by default the width of the features.
    hidden_dim: int | None = _number(None, at_least=1, at_most=65536)
    init_from: str | None = None  # run directory of step 1, loaded completely; or a .tflite

    @property
    def init_file(self) -> str | None:
        """The `.tflite` that the student begins as; None if it begins from a run, or anew."""
        named = self.init_from is not None and self.init_from.endswith(".tflite")
        return self.init_from if named else None

    @property
    def init_run(self) -> str | None:
        """The run directory that the student begins from; None if there is none."""
        return self.init_from if self.init_file is None else None


# What a teacher's student matches: the head's embedding, the pooled features below it, or, of a
# vision transformer, the class token, the mean of the patches, or both concatenated.
TEACHER_OUTPUTS = ("embedding", "features", "class_token", "patches", "class_and_patches")


@dataclass(frozen=True)
class TeacherConfig:
    """The frozen, real-valued network that guides the student."""

    backbone: str | None = None  # only for keras.applications
    # A published name | run directory | FILE.keras | FILE.onnx | FILE.tflite | starter | imagenet |
    # FILE.weights.h5 | FEATURES.npz
    weights: str | None = None
    # A second one, which is no file of features: the student matches both, each of unit length.
    beside: str | None = None
    output: str = "embedding"  # of TEACHER_OUTPUTS or, of a .onnx file, one of its outputs
    # What the teacher sees, in pixels per side: views of data.image_size are scaled to it.
    image_size: int | None = _number(None, at_least=8, at_most=4096)
    # Where the teacher's input has another aspect: its center, or all of it, squashed.
    resize: str = _choice("crop", "crop", "squash")
    # The mean and deviation of the pixels, from 0 to 1, that a file takes, one number or one per
    # channel: (pixel - mean) / std.
    # By default what a .onnx file says, or else ImageNet's.
    mean: tuple[float, ...] | None = _per_channel(at_most=255.0)
    std: tuple[float, ...] | None = _per_channel(above=0.0, at_most=255.0)
    # Compute the targets once, before the first epoch, for so many crops of each picture.
    cache: bool = False
    crops: int = _number(4, at_least=1, at_most=256)
    # Subtract the mean of the output over the pictures, and keep its first principal components.
    center: bool = False
    reduce_to: int | None = _number(None, at_least=2, at_most=65536)  # dimensions; also centers
    # Each dimension has the same variance then, after its own scale, or after a rotation (PHI-S);
    # also centers.
    normalize: str = _choice("none", "none", "standardize", "phi_s")

    @property
    def is_mapped(self) -> bool:
        """Whether its output is centered, at least, before the student is to match it."""
        return self.center or self.reduce_to is not None or self.normalize != "none"


@dataclass(frozen=True)
class ObjectiveConfig:
    """What is minimized: the weighted sum of these losses (s2bnn_tf.objectives)."""

    contrastive_weight: float = _number(0.0, at_least=0.0)
    distillation_weight: float = _number(1.0, at_least=0.0)
    # What distillation_weight grows to, evenly over the run; by default it stays the same.
    final_distillation_weight: float | None = _number(None, at_least=0.0)
    similarity_weight: float = _number(0.0, at_least=0.0)
    regression_weight: float = _number(0.0, at_least=0.0)
    places_weight: float = _number(0.0, at_least=0.0)
    signs_weight: float = _number(0.0, at_least=0.0)
    words_weight: float = _number(0.0, at_least=0.0)
    custom_weight: float = _number(0.0, at_least=0.0)
    words: str | None = None  # FILE.npz of `s2bnn words`, whose words are the axes
    custom: str | None = None  # the name of a registered objective
    temperature: float = _number(0.2, above=0.0, at_most=1e3)  # for all losses
    teacher_temperature: float | None = _number(None, above=0.0)  # default: temperature
    mixup: bool = False  # teacher and student see each image mixed with another one
    cross_views: bool = False  # the teacher sees another view than the student
    queue_size: int = _number(65536, at_least=1, at_most=2**24)  # keys
    momentum: float = _number(0.999, at_least=0.0, at_most=1.0)  # of the momentum encoder
    # Statistics in the momentum encoder's BatchNormalization: those of the batch, as in the
    # paper, for several devices; or the student's moving averages, for one. See Pretrainer.
    key_statistics: str = _choice("batch", "batch", "averaged")


@dataclass(frozen=True)
class OptimizerConfig:
    """How it is minimized. Weight decay is L2 inside the gradient, not decoupled."""

    name: str = _choice("adam", "adam", "sgd", "lamb")
    learning_rate: float = _number(3e-4, above=0.0, at_most=1e3)
    weight_decay: float = _number(0.0, at_least=0.0)
    schedule: str = _choice("linear", "linear", "cosine", "step", "constant")
    warmup_epochs: int = _number(0, at_least=0)
    # The number of parts of a batch that are computed in sequence, to fit into little memory.
    accumulation_steps: int = _number(1, at_least=1, at_most=65536)


@dataclass(frozen=True)
class MonitorConfig:
    """What is monitored and kept during training."""

    knn_every: int = _number(10, at_least=0)  # epochs; 0: never
    checkpoint_every: int = _number(1, at_least=1)  # epochs
    checkpoint_minutes: float = _number(30.0, at_least=0.0)  # within an epoch too; 0: never
    checkpoints_kept: int = _number(2, at_least=1, at_most=10**4)  # the newest ones
    keep_hours: float = _number(0.0, at_least=0.0)  # keep one more per this many hours; 0: none


@dataclass(frozen=True)
class Config:
    """A recipe."""

    seed: int = _number(0, at_least=0, at_most=2**31 - 1)
    epochs: int = _number(200, at_least=1, at_most=10**6)
    # The length of training whatever the number of images; `epochs` then counts for nothing.
    steps: int | None = _number(None, at_least=1, at_most=10**9)
    deterministic: bool = False  # sum in a fixed order, so that runs are equal bit for bit
    distribution: str = _choice("none", "none", "mirrored", "multi_worker")
    precision: str = _choice("float32", "float32", "float16", "bfloat16")  # of the arithmetic
    # Who gets the numbers of each epoch, beside metrics.jsonl.
    loggers: tuple[str, ...] = _choices(("tensorboard",), "tensorboard", "mlflow", "wandb")
    # The modules that have registered what the recipe names; none is imported because of this.
    plugins: tuple[str, ...] = ()
    data: DataConfig = field(default_factory=DataConfig)
    student: StudentConfig = field(default_factory=StudentConfig)
    teacher: TeacherConfig | None = None
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)

    def __post_init__(self) -> None:
        if self.student.head is None:
            met = [o for o in OBJECTIVES if o not in _OF_MAPS]
            used = [o for o in met if getattr(self.objective, f"{o}_weight") > 0]
            in_their_space = used in (["regression"], ["regression", "words"], ["words"])
            head = _HEAD_FOR_FEATURES if in_their_space else _HEAD
            object.__setattr__(self, "student", dataclasses.replace(self.student, head=head))

    @property
    def steps_to_fill_queue(self) -> int:
        """The number of steps until the queue holds no random keys; 0 if it never does.

        While they are replaced, the loss rises: keys of images are harder to tell apart.
        """
        uses_queue = self.objective.contrastive_weight > 0 or self.objective.similarity_weight > 0
        if not uses_queue or self.student.init_run is not None:  # which brings a full one along
            return 0
        return math.ceil(self.objective.queue_size / self.data.batch_size)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a recipe.

    Args:
        path: A YAML file. The key `extends: OTHER.yaml` (relative to the file) starts
            from another recipe and changes the keys that the file names.
        overrides: Strings `"section.key=value"` with the value in YAML, which take
            precedence over the file.

    Returns:
        The complete recipe, with presets and defaults filled in.

    Raises:
        ConfigError: If the file cannot be read, a key is unknown, a value has the
            wrong type or is impossible, or keys contradict each other.
    """
    tree = read_tree(Path(path))
    for override in overrides:
        apply_override(tree, override)
    config = build(Config, tree, path="")
    _check_together(config)
    expect(config.plugins)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """Return the recipe as plain dictionaries, lists and scalars, ready for YAML or JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return {key: plain(value) for key, value in dataclasses.asdict(config).items()}


def dump_config(config: Config) -> str:
    """Return a recipe as YAML that `load_config` reads back as the same recipe."""
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def _check_together(config: Config) -> None:
    """Refuse keys that are valid alone but not together."""
    _check_objective(config.objective, config.teacher)
    for plugin in config.plugins:
        if not is_module_name(plugin):
            raise ConfigError(f"plugins: expected names of modules, not {plugin!r}.")
    if config.data.batch_size % config.optimizer.accumulation_steps:
        raise ConfigError(
            f"optimizer.accumulation_steps: expected a divisor of data.batch_size "
            f"({config.data.batch_size}), not {config.optimizer.accumulation_steps}."
        )
    if config.steps is None and config.optimizer.warmup_epochs >= config.epochs:
        raise ConfigError(
            f"optimizer.warmup_epochs: expected fewer than epochs ({config.epochs}), "
            f"not {config.optimizer.warmup_epochs}."
        )


def _check_objective(objective: ObjectiveConfig, teacher: TeacherConfig | None) -> None:
    """Refuse losses without a network to learn from, and networks that no loss uses."""
    weights = {f"{name}_weight": getattr(objective, f"{name}_weight") for name in OBJECTIVES}
    used = [name for name, weight in weights.items() if weight > 0]
    if not used:
        raise ConfigError(
            f"objective: {', '.join(weights)} are all 0; expected at least one above it."
        )
    if (objective.custom is None) != (objective.custom_weight == 0):
        raise ConfigError(
            "objective: expected custom, the name of a registered objective, together with a "
            "custom_weight above 0, or neither."
        )
    if (objective.words is None) != (objective.words_weight == 0):
        raise ConfigError(
            "objective: expected words, a file of `s2bnn words`, together with a words_weight "
            "above 0, or neither."
        )
    guided = [name for name in used if name != "contrastive_weight"]
    if guided and (teacher is None or teacher.weights is None):
        raise ConfigError(
            "teacher.weights: expected a run directory, a published name, or a .keras or .onnx "
            f"file, since objective.{guided[0]} is above 0."
        )
    if not guided and teacher is not None:
        raise ConfigError(
            "teacher: expected none, since only objective.contrastive_weight is above 0 "
            "and nothing uses it."
        )
    _check_what_the_teacher_sees(objective, teacher)
    _check_maps(objective, teacher, used)
    if objective.final_distillation_weight is not None and objective.distillation_weight == 0:
        raise ConfigError(
            "objective.final_distillation_weight: expected a distillation_weight above 0 to start "
            "from."
        )
    if objective.contrastive_weight > 0 and objective.similarity_weight > 0:
        raise ConfigError(
            "objective: contrastive_weight and similarity_weight are both above 0, and there is "
            "one queue; expected one of them."
        )


def _check_maps(objective: ObjectiveConfig, teacher: TeacherConfig | None, used: list[str]) -> None:
    """Refuse losses about the map alone, and where the teacher does not show its own."""
    of_maps = [name for name in used if name.removesuffix("_weight") in _OF_MAPS]
    if not of_maps:
        return
    if of_maps == used:
        raise ConfigError(
            f"objective.{of_maps[0]}: it is about the map and trains no head; expected "
            "regression_weight, or another weight, above 0 beside it."
        )
    if objective.cross_views or (teacher is not None and teacher.cache):
        raise ConfigError(
            f"objective.{of_maps[0]}: the teacher has to see the student's view in each step; "
            "expected cross_views=false and teacher.cache=false."
        )


def _check_what_the_teacher_sees(objective: ObjectiveConfig, teacher: TeacherConfig | None) -> None:
    """Refuse mixed images and other views where the teacher does not look at each batch."""
    for name in ("mixup", "cross_views"):
        if getattr(objective, name) and objective.contrastive_weight > 0:
            raise ConfigError(
                f"objective.{name}: keys are made of the same two views; expected a "
                "contrastive_weight of 0."
            )
        if getattr(objective, name) and teacher is not None and teacher.cache:
            raise ConfigError(
                f"objective.{name}: the teacher has to see each batch; expected "
                "teacher.cache=false."
            )
    if objective.mixup and objective.cross_views:
        raise ConfigError(
            "objective: mixup shows both networks the same and cross_views does not; expected one "
            "of them."
        )
