"""Networks and functions of the calling program, which a plan can only name.

A plan is a file, and resuming reads it again. So an object becomes a file beside the plan where
that is possible, or a name with a digest otherwise. The same call gives the object again, and
another object under the same name is refused.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from s2bnn_tf.config import OBJECTIVES
from s2bnn_tf.errors import ConfigError, ModelError, UserError
from s2bnn_tf.files import replace_file
from s2bnn_tf.layers import is_binary, leaf_layers
from s2bnn_tf.objectives import register_objective
from s2bnn_tf.runs import read_keras_file, with_input_shape
from s2bnn_tf.teachers import give_teacher

keras = tf.keras

FOLDER = "given"  # in the output directory
_GUIDED = tuple(name for name in OBJECTIVES if name not in ("contrastive", "words", "custom"))


@dataclass(frozen=True)
class Objects:
    """What became of the objects that a call has given.

    Attributes:
        names: The kind, the name and the digest of each, which resuming compares.
        teacher: What `teacher.weights` has to be, or None.
        overrides: Changes to the recipes.
    """

    names: tuple[str, ...]
    teacher: str | None
    overrides: tuple[str, ...]


def take_objects(student: Any, teacher: Any, objective: Any, output_dir: Path) -> Objects:
    """Turn objects into what a plan can hold.

    Args:
        student: None, the name of a backbone, or a Keras model.
        teacher: None, a path, a Keras model, or a function.
        objective: None, a name, or a function.
        output_dir: The directory of the fit.

    Raises:
        ConfigError: If one of them is something else.
        ModelError: If a model does not return features, or cannot be written and read again.
    """
    names: list[str] = []
    overrides: list[str] = []
    folder = output_dir / FOLDER
    if isinstance(student, keras.Model):
        name = _digest_of_layers(student)
        size = _size_of(student)
        path = _write(student, folder / f"student_{name}.keras", "student")
        names.append(f"student {name}")
        overrides += [f"student.backbone={json.dumps(path)}", *size]
    elif isinstance(student, str):
        overrides.append(f"student.backbone={json.dumps(student)}")
    elif student is not None:
        raise ConfigError(f"student: expected a name or a Keras model, not {_kind(student)}.")
    if isinstance(teacher, keras.Model):
        name = _digest_of_weights(teacher)
        names.append(f"teacher {name}")
        teacher = _write(teacher, folder / f"teacher_{name}.keras", "teacher")
    elif isinstance(teacher, (str, Path)):
        teacher = str(teacher)
    elif callable(teacher):
        name = name_of(teacher)
        names.append(f"teacher {name}")
        teacher = give_teacher(name, teacher)
    elif teacher is not None:
        raise ConfigError(
            "teacher: expected a run directory, a .keras file, a Keras model or a function of "
            f"images, not {_kind(teacher)}."
        )
    if objective is not None:
        names += [f"objective {name_of(objective)}"] if callable(objective) else []
        overrides += _choose_objective(objective)
    return Objects(tuple(names), teacher, tuple(overrides))


def is_binary_network(path: str) -> bool:
    """Whether a network in a `.keras` file has layers that compute with bits."""
    return any(map(is_binary, leaf_layers(read_keras_file(Path(path), "student.backbone"))))


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function with a digest of its code.

    What it refers to, such as weights that were loaded before, is not a part of the digest.

    >>> name_of(lambda images: images) == name_of(lambda images: images[0])
    False
    """
    inner = function if inspect.isroutine(function) else type(function)
    name = getattr(inner, "__name__", "function")
    try:
        text = inspect.getsource(inner)  # whole lines, which may hold several functions
    except (OSError, TypeError):  # made by exec, or in C
        text = name
    code = getattr(inner, "__code__", None)
    if code is not None:
        values = [value for value in code.co_consts if not inspect.iscode(value)]
        text += repr((code.co_code, code.co_names, values))
    name = name if name.isidentifier() else "function"
    return f"{name}_{_short(text.encode())}"


def _choose_objective(objective: str | Callable[..., Any]) -> list[str]:
    """The weights of the losses: 1 for the one that was chosen, 0 for the others."""
    chosen, changes = objective, []
    if callable(objective):
        name, chosen = name_of(objective), "custom"
        register_objective(name)(_under_our_name(objective, name))
        changes = [f"objective.custom={name}"]
    elif objective not in _GUIDED:
        if objective in OBJECTIVES:
            raise ConfigError(
                f"objective: {objective} takes no teacher, and a student of fit has one; choose "
                f"{', '.join(_GUIDED)}, a registered name or a function (query, target)."
            )
        chosen, changes = "custom", [f"objective.custom={json.dumps(objective)}"]
    weights = {name: float(name == chosen) for name in OBJECTIVES}
    return [*(f"objective.{name}_weight={weight}" for name, weight in weights.items()), *changes]


def _under_our_name(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function that the registry takes again when a call of fit gives it again."""

    def objective(query: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        return function(query, target)

    objective.__qualname__ = name
    return objective


def _size_of(model: keras.Model) -> list[str]:
    """The size and the channels of the images, as far as the network takes only one kind."""
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in (1, 3):
        raise ModelError(f"student: expected a network of images (N, H, W, 3), not {shape}.")
    height, width, channels = shape[1:]
    size = [f"data.image_size=[{height}, {width}]"] if height and width else []
    return [*size, f"data.channels={channels}"]


def _write(model: keras.Model, path: Path, what: str) -> str:
    """Write a model once, and check that it can be read again and returns features."""
    if path.is_file():
        return str(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        replace_file(path, lambda place: model.save(place, save_format="keras"))
        read = read_keras_file(path, what)
        height, width, channels = read.input_shape[1:]
        with_input_shape(read, (height or 64, width or 64, channels), what)
    except Exception as error:
        path.unlink(missing_ok=True)
        if isinstance(error, (UserError, OSError)):
            raise
        line = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{what}: the model cannot be written ({line}); build it of the layers of Keras, Larq "
            "and this package with keras.Model or keras.Sequential."
        ) from error
    return str(path)


def _digest_of_layers(model: keras.Model) -> str:
    """The name of a network and a digest of its layers, whose first weights may be any."""
    layers = [
        (type(layer).__name__, _without_names(layer.get_config()), layer.output_shape)
        for layer in leaf_layers(model)
    ]
    text = json.dumps(layers, default=lambda value: type(value).__name__)
    return f"{type(model).__name__}_{_short(text.encode())}"


def _digest_of_weights(model: keras.Model) -> str:
    digest = hashlib.sha256(_digest_of_layers(model).encode())
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return f"{type(model).__name__}_{digest.hexdigest()[:8]}"


def _without_names(value: Any) -> Any:
    """A configuration without the names that Keras counts up with every layer it builds."""
    if isinstance(value, dict):
        return {key: _without_names(inside) for key, inside in value.items() if key != "name"}
    return [_without_names(inside) for inside in value] if isinstance(value, list) else value


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def _kind(value: object) -> str:
    return f"an object of type {type(value).__name__}"
