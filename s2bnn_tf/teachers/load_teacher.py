"""The frozen network that guides a student: `teacher.weights` and `teacher.backbone`."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from s2bnn_tf.backbones import JOINT_CHANNELS, VIT_SIZES, Encoder, is_vit, with_output
from s2bnn_tf.config import TEACHER_OUTPUTS, TeacherConfig
from s2bnn_tf.errors import CheckpointError, ConfigError, ModelError, UserError
from s2bnn_tf.image_size import ImageSize, describe_size, height_width
from s2bnn_tf.runs import RunDirectory, backbone_of_tflite, load_encoder
from s2bnn_tf.starter import is_starter
from s2bnn_tf.teachers.cache import find_starter, get_teacher, is_published
from s2bnn_tf.teachers.feature_files import is_feature_file
from s2bnn_tf.teachers.given import PREFIX, load_given
from s2bnn_tf.teachers.keras_networks import (
    load_application,
    load_keras_file,
    normalized_as,
    on_gray,
)
from s2bnn_tf.teachers.onnx_layer import as_keras
from s2bnn_tf.teachers.onnx_networks import OnnxNetwork, Request, open_onnx
from s2bnn_tf.teachers.published import PUBLISHED, suggest_name
from s2bnn_tf.teachers.scaling import scaled_to
from s2bnn_tf.teachers.side_by_side import side_by_side

keras = tf.keras

_TORCH_SUFFIXES = (".pth", ".pt", ".tar", ".safetensors")


def load_teacher(teacher: TeacherConfig, *, image_size: ImageSize, channels: int = 3) -> Encoder:
    """Load the frozen network that guides the student, or both, if there is one `beside` it.

    Args:
        teacher: `weights` is a run directory, one of `PUBLISHED`, a `.keras` or `.onnx` file, a
            `.tflite` of `s2bnn convert`, or `starter`; or, together with `backbone: NAME`, the
            weights of `keras.applications.NAME`: `imagenet` or a weights file without its
            classifier; or `python:NAME`, a function that `give_teacher` was called with.
            `image_size` is the size that the network sees; by default the size of the views, or
            the own one of a vision transformer or of a published network.
        image_size: The side of the views in pixels, or their height and width.
        channels: The channels of the views, 3 or 1. For a network that takes three, a gray view
            becomes a gray picture in three channels, with their own normalization.

    Returns:
        An encoder that is not trainable, from normalized images `(B, H, W, channels)` to
        embeddings `(B, D)` of unit length. The embeddings of a network without a head, or
        with another `output`, are its pooled features or what the output names.

    Raises:
        ConfigError: If `keras.applications` has no such network, the network has no such output,
            or a key is of other teachers.
        CheckpointError: If there is nothing to load, or it is damaged.
        ModelError: If the network does not take the images, or returns no feature vectors.
    """
    first = _load_one(teacher, image_size, channels)
    return with_beside(first, teacher, image_size=image_size, channels=channels)


def with_beside(
    first: Encoder, teacher: TeacherConfig, *, image_size: ImageSize, channels: int = 3
) -> Encoder:
    """Put the network that `beside` names beside another one, if it names one.

    Args:
        first: The other one.
        teacher: As in a recipe.
        image_size: As for `load_teacher`, which says what is raised.
        channels: Likewise.

    Returns:
        What `side_by_side` returns, or the first alone.
    """
    if teacher.beside is None:
        return first
    try:
        other = TeacherConfig(weights=teacher.beside, resize=teacher.resize)
        second = _load_one(other, image_size, channels)
    except UserError as error:
        raise type(error)(str(error).replace("teacher.weights", "teacher.beside")) from error
    return side_by_side(first, second, (*height_width(image_size), channels))


def _load_one(teacher: TeacherConfig, image_size: ImageSize, channels: int) -> Encoder:
    _check_keys(teacher)
    size = teacher.image_size or _own_size(teacher, height_width(image_size)) or image_size
    encoder = _load(teacher, size)
    images = (None, *height_width(size), channels)
    try:
        backbone, head = _with_output(encoder, teacher.output)
        if channels == 1 and backbone.input_shape[-1] == 3:
            backbone = on_gray(backbone, images[1:])
        encoder = Encoder(backbone, head)
        if not encoder.built or backbone.input_shape != images:
            encoder.build(images)  # raises ValueError if the network does not take the images
    except UserError:
        raise
    except ValueError as error:
        raise ModelError(
            f"teacher.weights: {teacher.weights or teacher.backbone} does not take images of "
            f"{describe_size(size)} pixels in {channels} channel{'s' * (channels > 1)}; set "
            "teacher.image_size to a size that it takes, or change data.channels or the teacher."
        ) from error
    if height_width(size) != height_width(image_size):
        view = (*height_width(image_size), channels)
        squash = teacher.resize == "squash"
        scaled = scaled_to(backbone, height_width(size), view, squash=squash)
        encoder = Encoder(scaled, head)
    encoder.trainable = False
    return encoder


def _check_keys(teacher: TeacherConfig) -> None:
    """Refuse what is for files alone, for other teachers."""
    suffix = Path(teacher.weights or "").suffix
    if teacher.output not in TEACHER_OUTPUTS and suffix != ".onnx":
        raise ConfigError(
            f"teacher.output: expected one of {', '.join(TEACHER_OUTPUTS)}, "
            f"not {teacher.output!r:.80}."
        )
    if (teacher.mean, teacher.std) != (None, None) and suffix not in (".onnx", ".keras"):
        raise ConfigError(
            "teacher.mean and teacher.std are of .onnx and .keras files alone; leave them out."
        )


def _with_output(encoder: Encoder, output: str) -> tuple[keras.Model, keras.Model | None]:
    """The backbone and the head that return what `teacher.output` names."""
    if output == "embedding" or encoder.backbone.name == "onnx":  # which was told already
        return encoder.backbone, encoder.head
    if output == "features":
        return encoder.backbone, None
    if not is_vit(encoder.backbone):
        raise ConfigError(
            f"teacher.output: {output} is of vision transformers, and the teacher is none; choose "
            "embedding or features."
        )
    return with_output(encoder.backbone, output), None


def _own_size(teacher: TeacherConfig, view: tuple[int, int]) -> ImageSize | None:
    """The size of a vision transformer or a published network, which small views would waste.

    It is that of the shorter side. The longer one is in proportion, in whole patches.
    """
    if is_onnx(teacher):
        return onnx_of(teacher).image_size
    if _is_name(teacher):
        run = get_teacher(str(teacher.weights))
        side: ImageSize = PUBLISHED[str(teacher.weights)].size_for(view)
    elif teacher.backbone is None and RunDirectory(teacher.weights or "").exists():
        run = RunDirectory(teacher.weights or "")
        if run.config.student.backbone not in (*VIT_SIZES, *JOINT_CHANNELS, "clip_resnet50"):
            return None
        side = run.config.data.image_size
    else:
        return None
    if not isinstance(side, int) or view[0] == view[1]:
        return side
    patch = run.config.student.patch_size or 1
    height, width = (max(1, round(side * s / min(view) / patch)) * patch for s in view)
    return height, width


def _load(teacher: TeacherConfig, image_size: ImageSize) -> Encoder:
    """Recognize the kind of teacher, and load it."""
    if (teacher.weights or "").startswith(PREFIX):
        return Encoder(load_given((teacher.weights or "").removeprefix(PREFIX), image_size))
    weights = Path(teacher.weights or "")
    if teacher.backbone is not None:
        return Encoder(load_application(teacher.backbone, teacher.weights, image_size))
    if is_feature_file(teacher.weights):
        raise CheckpointError(
            f"teacher.weights: {weights} holds features of some pictures, and here a network is "
            "needed that computes those of others; name the network."
        )
    if weights.suffix == ".keras":
        network = load_keras_file(weights)
        if (teacher.mean, teacher.std) != (None, None):
            network = normalized_as(network, teacher.mean, teacher.std)
        return Encoder(network)
    if is_onnx(teacher):
        return Encoder(as_keras(onnx_of(teacher)))
    if weights.suffix == ".tflite" or is_starter(weights):
        return Encoder(_of_tflite(weights, image_size))
    if RunDirectory(weights).exists():
        return load_encoder(weights, image_size=image_size)
    if _is_name(teacher):
        return load_encoder(get_teacher(str(teacher.weights)).path, image_size=image_size)
    if weights.suffix in _TORCH_SUFFIXES:
        raise CheckpointError(
            f"teacher.weights: {weights} is a PyTorch file; make a run directory of it with "
            f"`s2bnn import-torch {weights} runs/teacher`, and name that directory."
        )
    raise CheckpointError(
        f"teacher.weights: {weights} is neither a run directory nor a .keras, .onnx or .tflite "
        f"file; train a teacher first, or name one. {suggest_name(str(weights))}".rstrip()
    )


def _of_tflite(weights: Path, image_size: ImageSize) -> keras.Model:
    """The network of a `.tflite`, of which the starter is a copy in the cache."""
    path = find_starter() if is_starter(weights) else weights
    try:
        return backbone_of_tflite(path, image_size)
    except UserError as error:
        raise type(error)(str(error).replace("student.init_from", "teacher.weights")) from error


def is_onnx(teacher: TeacherConfig) -> bool:
    """Whether the teacher is an ONNX file."""
    return teacher.backbone is None and Path(teacher.weights or "").suffix == ".onnx"


def onnx_of(teacher: TeacherConfig) -> OnnxNetwork:
    """The network of an ONNX file, as a recipe wants it."""
    request = Request(teacher.output, teacher.image_size, teacher.mean, teacher.std)
    return open_onnx(teacher.weights or "", request)


def _is_name(teacher: TeacherConfig) -> bool:
    """Whether the weights are those of a published network."""
    return teacher.backbone is None and is_published(teacher.weights or "")
