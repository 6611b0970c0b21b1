"""A student that is the user's own Keras model: `student.backbone: FILE.keras`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones import backbone_options
from s2bnn_tf.config import StudentConfig
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.files import sha256
from s2bnn_tf.runs.keras_files import read_keras_file

keras = tf.keras

_OPTIONS = ("stem", "width", "binarize_weights", "kernel_initializer", "reverse_input")


def is_keras_file(backbone: str) -> bool:
    """Whether `student.backbone` names a file and not a registered network."""
    return backbone.endswith(".keras")


def options_of(backbone: str) -> dict[str, Any]:
    """The options of a backbone with their defaults; a file has none.

    Raises:
        ConfigError: If there is no backbone of that name.
    """
    return {} if is_keras_file(backbone) else backbone_options(backbone)


def identity_of(backbone: str) -> str:
    """What two recipes have in common if they have the same backbone, whatever its path."""
    if is_keras_file(backbone) and Path(backbone).is_file():
        return f"a .keras file with SHA-256 {sha256(Path(backbone))[:12]}"
    return backbone


def build_keras_backbone(student: StudentConfig, input_shape: tuple[int, int, int]) -> keras.Model:
    """Build the network of a `.keras` file, with the weights in it.

    Args:
        student: `backbone` is the file: a model from normalized images `(B, H, W, channels)` to
            features `(B, C)`, or to maps `(B, H, W, C)`, which are averaged.
        input_shape: `(height, width, channels)`, in pixels, 3 or 1 of them.

    Returns:
        A model from images of this shape to features `(B, C)`.

    Raises:
        CheckpointError: If the file is missing, damaged, of Keras 3, or holds code.
        ConfigError: If the recipe sets an option, which only networks with a name have.
        ModelError: If the model does not take these images, or returns something else.
    """
    given = [name for name in _OPTIONS if getattr(student, name) is not None]
    if given:
        raise ConfigError(
            f"student.{given[0]}: {student.backbone} is a network as it is; remove this key."
        )
    model = read_keras_file(Path(student.backbone), "student.backbone")
    return with_input_shape(model, input_shape, student.backbone)


def with_input_shape(
    model: keras.Model, input_shape: tuple[int, int, int], name: str
) -> keras.Model:
    """Copy a model, with its weights, for images of one shape and with one vector per image.

    Args:
        model: A model from images `(B, H, W, channels)` to `(B, C)` or `(B, H, W, C)`.
        input_shape: `(height, width, channels)`, in pixels, 3 or 1 of them.
        name: What it is called in messages.

    Raises:
        ModelError: If the model has several inputs or outputs, does not take these images, or
            returns neither of them.
    """
    shapes = model.input_shape, model.output_shape
    if isinstance(shapes[0], list) or not isinstance(shapes[1], tuple):
        raise ModelError(f"{name} has several inputs or outputs; expected one of each.")
    image = keras.Input(input_shape, name="image")
    try:
        copy = keras.models.clone_model(model, input_tensors=image)
        copy.set_weights(model.get_weights())
    except ValueError as error:
        height, width, channels = input_shape
        raise ModelError(
            f"{name} takes images {shapes[0][1:]} and not ({height}, {width}, {channels}); change "
            "data.image_size or the network."
        ) from error
    features = copy.output
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    if len(features.shape) != 2:
        raise ModelError(
            f"{name} returns {tuple(features.shape)}; expected features (B, C) or maps "
            "(B, H, W, C)."
        )
    return keras.Model(image, features, name="backbone")
