"""The frozen network that guides a student: `teacher.weights` and `teacher.backbone`."""

from __future__ import annotations

from pathlib import Path

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.errors import CheckpointError, ModelError
from s2bnn_tf.image_size import ImageSize, describe_size, height_width
from s2bnn_tf.runs import RunDirectory, load_encoder
from s2bnn_tf.teachers.given import PREFIX, load_given
from s2bnn_tf.teachers.keras_networks import load_application, load_keras_file, on_gray

_TORCH_SUFFIXES = (".pth", ".pt", ".tar", ".safetensors")


def load_teacher(teacher: TeacherConfig, *, image_size: ImageSize, channels: int = 3) -> Encoder:
    """Load the frozen network that guides the student.

    Args:
        teacher: `weights` is a run directory, a `.keras` file, or, together with
            `backbone: NAME`, the weights of `keras.applications.NAME`: `imagenet`
            or a weights file without its classifier; or `python:NAME`, a function that
            `give_teacher` was called with.
        image_size: The side of the views in pixels, or their height and width.
        channels: The channels of the views, 3 or 1. For a network that takes three, a gray view
            becomes a gray picture in three channels, with their own normalization.

    Returns:
        An encoder that is not trainable, from normalized images `(B, H, W, channels)` to
        embeddings `(B, D)` of unit length. The embeddings of a network without a head, or
        with `output: features`, are its pooled features.

    Raises:
        ConfigError: If `keras.applications` has no such network.
        CheckpointError: If there is nothing to load, or it is damaged.
        ModelError: If the network does not take the images, or returns no feature vectors.
    """
    encoder = _load(teacher, image_size)
    images = (None, *height_width(image_size), channels)
    try:
        if channels == 1 and encoder.backbone.input_shape[-1] == 3:
            encoder = Encoder(on_gray(encoder.backbone, images[1:]), encoder.head)
        if not encoder.built or encoder.backbone.input_shape != images:
            encoder.build(images)  # raises ValueError if the network does not take the images
    except ValueError as error:
        raise ModelError(
            f"teacher.weights: {teacher.weights or teacher.backbone} does not take images of "
            f"{describe_size(image_size)} pixels in {channels} channel{'s' * (channels > 1)}; "
            "change data.image_size, data.channels or the teacher."
        ) from error
    if teacher.output == "features":
        encoder = Encoder(encoder.backbone)
    encoder.trainable = False
    return encoder


def _load(teacher: TeacherConfig, image_size: ImageSize) -> Encoder:
    """Recognize the kind of teacher, and load it."""
    if (teacher.weights or "").startswith(PREFIX):
        return Encoder(load_given((teacher.weights or "").removeprefix(PREFIX), image_size))
    weights = Path(teacher.weights or "")
    if teacher.backbone is not None:
        return Encoder(load_application(teacher.backbone, teacher.weights, image_size))
    if weights.suffix == ".keras":
        return Encoder(load_keras_file(weights))
    if RunDirectory(weights).exists():
        return load_encoder(weights, image_size=image_size)
    if weights.suffix in _TORCH_SUFFIXES:
        raise CheckpointError(
            f"teacher.weights: {weights} is a PyTorch file; make a run directory of it with "
            f"`s2bnn import-torch {weights} runs/teacher`, and name that directory."
        )
    raise CheckpointError(
        f"teacher.weights: {weights} is neither a run directory nor a .keras file; "
        "train a teacher first, or name one."
    )
