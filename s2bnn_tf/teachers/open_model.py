"""Any network opened as an encoder of images: whatever can be a teacher can be measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.config_loader import apply_override, build
from s2bnn_tf.defaults import CENTER_CROP
from s2bnn_tf.errors import CheckpointError, ConfigError
from s2bnn_tf.image_size import ImageSize, height_width
from s2bnn_tf.runs import LoadedEncoder, RunDirectory, locate_run, open_encoder
from s2bnn_tf.starter import is_starter
from s2bnn_tf.teachers.cache import find_starter, get_teacher, is_cached, is_published
from s2bnn_tf.teachers.keras_networks import load_keras_file, normalized_as
from s2bnn_tf.teachers.network_encoder import NetworkEncoder
from s2bnn_tf.teachers.onnx_file import read_onnx
from s2bnn_tf.teachers.onnx_layer import as_keras
from s2bnn_tf.teachers.onnx_networks import DEFAULT_SIZE, OnnxNetwork, open_onnx
from s2bnn_tf.teachers.onnx_networks import Request as OnnxRequest
from s2bnn_tf.teachers.published import suggest_name
from s2bnn_tf.tflite import TFLiteEncoder

keras = tf.keras

FILES = (".keras", ".onnx")
Statistics = float | Sequence[float] | None


def open_model(
    model: str | Path,
    runtime: str | None = None,
    *,
    mean: Statistics = None,
    std: Statistics = None,
    size: ImageSize | None = None,
    output: str = "embedding",
    resize: str = "crop",
) -> LoadedEncoder | TFLiteEncoder | NetworkEncoder:
    """Open a network as an encoder of images.

    Args:
        model: A run directory, the directory of a fit, the name of a published teacher that is on
            this machine, `starter`, or a `.tflite`, `.keras` or `.onnx` file.
        runtime: What runs a `.tflite`, see `s2bnn_tf.runs.open_encoder`.
        mean: Of a `.keras` or `.onnx` file: it takes `(pixel - mean) / std`, of pixels in 0..1.
            One number, or one per channel. By default what a `.onnx` file says, or else
            ImageNet's.
        std: Likewise.
        size: Of a `.keras` or `.onnx` file: the side of its input, or height and width. By default
            the file's, or 224 if it takes any.
        output: Of a `.onnx` file, as `teacher.output`.
        resize: Of a `.keras` or `.onnx` file: `crop` keeps the center of a picture, `squash` all.

    Raises:
        ConfigError: If the file has no such output or size, or the model is no file.
        CheckpointError: If there is no such model, or it was never downloaded.
        ModelError: If it is damaged, or returns no features.
        DeviceError: If the runtime is not installed.
    """
    given = {"mean": mean, "std": std, "size": size}
    path = locate_model(model)
    if path.is_dir() or path.suffix not in FILES:
        wrong = [name for name, value in given.items() if value is not None]
        if wrong or (output, resize) != ("embedding", "crop"):
            raise ConfigError(
                f"{path} knows its own input and output: mean, std, size, output and resize are "
                "of .keras and .onnx files alone."
            )
        return open_encoder(path, runtime)
    if resize not in ("crop", "squash"):
        raise ConfigError(f"resize: expected crop or squash, not {resize!r:.80}.")
    teacher = TeacherConfig(
        weights=str(path), output=output, mean=_numbers("mean", mean), std=_numbers("std", std)
    )
    center_crop = CENTER_CROP if resize == "crop" else None
    if path.suffix == ".onnx":
        return _open_onnx(path, teacher, size, center_crop)
    return _open_keras(path, teacher, size, center_crop)


def open_with_changes(
    model: str | Path, changes: Sequence[str], runtime: str | None = None
) -> LoadedEncoder | TFLiteEncoder | NetworkEncoder:
    """Open a network as the command line is told to.

    Args:
        model: As for `open_model`.
        changes: Keys of `TeacherConfig` about pictures and output, as `"mean=0.5"`.
        runtime: As for `open_model`.

    Raises:
        UserError: As from `open_model`, or if a key is unknown or its value impossible.
    """
    tree: dict[str, Any] = {}
    for change in changes:
        apply_override(tree, change)
    surplus = sorted(tree.keys() - {"mean", "std", "image_size", "output", "resize"})
    if surplus:
        raise ConfigError(
            f"--set {surplus[0]!r:.80}: expected mean, std, image_size, output or resize."
        )
    told = build(TeacherConfig, tree, "")
    return open_model(
        model,
        runtime,
        mean=told.mean,
        std=told.std,
        size=told.image_size,
        output=told.output,
        resize=told.resize,
    )


def locate_model(model: str | Path, *, must_exist: bool = True) -> Path:
    """The directory or file that a model means: those of names that we know are in the cache.

    Args:
        model: As for `open_model`.
        must_exist: Whether a path that leads nowhere is refused.

    Raises:
        CheckpointError: If there is none, or it was never downloaded.
    """
    path = locate_run(model)
    if path.exists():
        return path
    name = os.fspath(model)
    if is_starter(name):
        return find_starter()
    if is_published(name):
        if not is_cached(name):
            raise CheckpointError(
                f"{name} was never downloaded to this machine; run `s2bnn teachers get {name}`."
            )
        return get_teacher(name).path
    if not must_exist:
        return path
    raise CheckpointError(
        f"{path} does not exist; name a run directory, a published teacher, or a .tflite, .keras "
        f"or .onnx file. {suggest_name(name)}".rstrip()
    )


def model_files(model: str | Path) -> list[Path]:
    """The files that the features of a model depend on.

    Raises:
        UserError: As from `locate_model`, or if a `.onnx` file is damaged.
    """
    path = locate_model(model)
    if path.is_dir():
        run = RunDirectory(path)
        return [run.config_path, run.weights_path]
    return [path, *(read_onnx(path).weights if path.suffix == ".onnx" else [])]


def _open_onnx(
    path: Path, teacher: TeacherConfig, size: ImageSize | None, center_crop: float | None
) -> NetworkEncoder:
    request = OnnxRequest(teacher.output, size, teacher.mean, teacher.std)
    network: OnnxNetwork = open_onnx(path, request)
    preparation = f"{network.statistics} {teacher.output}"
    return NetworkEncoder(
        as_keras(network), path, network.file.size_bytes, preparation, center_crop
    )


def _open_keras(
    path: Path, teacher: TeacherConfig, size: ImageSize | None, center_crop: float | None
) -> NetworkEncoder:
    network = load_keras_file(path)
    if teacher.output not in ("embedding", "features"):
        raise ConfigError(f"output: {path} has one output; leave the key out.")
    if (teacher.mean, teacher.std) != (None, None):
        network = normalized_as(network, teacher.mean, teacher.std)
    own, channels = network.input_shape[1:3], network.input_shape[3]
    wanted = height_width(size if size is not None else DEFAULT_SIZE)
    shape = tuple(side or other for side, other in zip(own, wanted))
    if size is not None and shape != wanted:
        raise ConfigError(f"size: {path} takes images of {own[0]}x{own[1]} pixels alone.")
    image = keras.Input((*shape, channels), name="image")
    whole = keras.Model(image, network(image))
    preparation = f"{teacher.mean} {teacher.std}"
    return NetworkEncoder(whole, path, path.stat().st_size, preparation, center_crop)


def _numbers(name: str, value: Statistics) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = tuple(float(x) for x in np.ravel(np.asarray(value, np.float64)))
    if len(numbers) not in (1, 3) or not np.isfinite(numbers).all():
        raise ConfigError(f"{name}: expected one number or three, not {value!r:.80}.")
    if name == "std" and min(numbers) <= 0:
        raise ConfigError(f"std: expected more than 0, not {value!r:.80}.")
    return numbers
