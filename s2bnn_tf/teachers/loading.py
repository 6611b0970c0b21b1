"""Teachers: a run directory, a `.keras` file, or a network of `keras.applications`."""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.data import IMAGENET_MEAN, IMAGENET_STD
from s2bnn_tf.errors import UserError
from s2bnn_tf.runs import RunDirectory, load_encoder

keras = tf.keras

_TORCH_SUFFIXES = (".pth", ".pt", ".tar", ".safetensors")


def load_teacher(teacher: TeacherConfig, *, image_size: int) -> Encoder:
    """Load the frozen network that guides the student.

    Args:
        teacher: `weights` is a run directory, a `.keras` file, or, together with
            `backbone: NAME`, the weights of `keras.applications.NAME`: `imagenet`
            or a weights file without its classifier.
        image_size: Pixels of the views it will see.

    Returns:
        An encoder that is not trainable: normalized images `(B, H, W, 3)` to
        embeddings `(B, D)` of unit length. A network without a head, or with
        `output: features`, gives its pooled features.

    Raises:
        UserError: if there is nothing to load, or it does not fit.
    """
    weights = Path(teacher.weights or "")
    if teacher.backbone is not None:
        encoder = Encoder(_application(teacher.backbone, teacher.weights, image_size))
    elif weights.suffix == ".keras":
        encoder = Encoder(_pooled(_load_keras_file(weights)))
    elif RunDirectory(weights).exists():
        encoder = load_encoder(weights, image_size=image_size)
    elif weights.suffix in _TORCH_SUFFIXES:
        raise UserError(
            f"teacher.weights: {weights} is a PyTorch file; make a run directory of it by "
            f"`s2bnn import-torch {weights} runs/teacher`, and name that."
        )
    else:
        raise UserError(
            f"teacher.weights: {weights} is neither a run directory nor a .keras file; "
            "train a teacher first, or name one."
        )
    images = (None, image_size, image_size, 3)
    try:
        if not encoder.built or encoder.backbone.input_shape != images:
            encoder.build(images)  # which says whether it takes them
    except ValueError as error:
        raise UserError(
            f"teacher.weights: {weights} does not take images of {image_size}x{image_size} "
            "pixels in 3 channels; change data.image_size or the teacher."
        ) from error
    if teacher.output == "features":
        encoder = Encoder(encoder.backbone)
    encoder.trainable = False
    return encoder


def _load_keras_file(path: Path) -> keras.Model:
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"teacher.weights: cannot load {path} safely: {reason}") from error


def _pooled(model: keras.Model) -> keras.Model:
    """The model with one feature vector per image, whatever the rank of its output."""
    output = model.output
    if len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D()(output)
    if len(output.shape) != 2:
        raise UserError(
            f"teacher.weights: expected a network with output (B, D) or (B, H, W, D), "
            f"not {tuple(output.shape)}."
        )
    return keras.Model(model.input, output)


def _application(name: str, weights: str | None, image_size: int) -> keras.Model:
    """A network of keras.applications that takes our normalized images."""
    network = getattr(keras.applications, name, None)
    if not callable(network):
        known = sorted(n for n in dir(keras.applications) if n[0].isupper())
        raise UserError(
            f"teacher.backbone: keras.applications has no {name!r}; it has {', '.join(known)}."
        )
    image = keras.Input((image_size, image_size, 3), name="image")
    std, mean = (tf.constant(v, tf.float32) * 255.0 for v in (IMAGENET_STD, IMAGENET_MEAN))
    preprocess = sys.modules[network.__module__].preprocess_input
    try:
        body = network(include_top=False, pooling="avg", weights=weights)
    except Exception as error:
        # A missing file and a misfit are ValueErrors, a failed download is no more than this.
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"teacher.weights: cannot load {weights} for {name}: {reason}") from error
    return keras.Model(image, body(preprocess(image * std + mean)), name=name)
