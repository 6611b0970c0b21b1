"""`s2bnn_tf.fit` and `s2bnn_tf.load`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from s2bnn_tf.defaults import TARGETS
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.pipeline.choices import SIZES
from s2bnn_tf.pipeline.encoder import FittedEncoder
from s2bnn_tf.pipeline.given import is_given, write_images
from s2bnn_tf.pipeline.objects import take_objects
from s2bnn_tf.pipeline.options import Options
from s2bnn_tf.pipeline.own_errors import own_errors
from s2bnn_tf.pipeline.stages import check_output_dir, run_fit
from s2bnn_tf.progress import Progress, show_progress

keras = tf.keras


def fit(
    data: Any,
    output_dir: str | Path,
    *,
    teacher: Any = None,
    words: str | Path | None = None,
    minutes: float = 30.0,
    student: str | keras.Model | None = None,
    objective: str | Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    size: str | None = None,
    init: str | Path | None = None,
    hold_out: float = 0.2,
    target: str = "linux-aarch64",
    overrides: Sequence[str] = (),
    callbacks: Sequence[keras.callbacks.Callback] = (),
    loggers: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> FittedEncoder:
    """Make a 1-bit encoder of images, as `s2bnn fit` does; the same call resumes.

    Objects of the program survive its end by their names: the plan holds the name and a digest of
    each, a call that resumes gives the objects again, and others are refused. The digest covers
    the layers of a student, the layers and weights of a teacher, and the code of a function, but
    not what the function refers to.

    Args:
        data: A folder, a sequence of files, folders and videos, another source as for
            `open_source`, an array (N, H, W, 3) uint8, or gray, (N, H, W) or (N, H, W, 1), or a
            `tf.data.Dataset` or `keras.utils.Sequence` of images or (image, label). Images in
            memory are written as PNG files beside `output_dir`.
        output_dir: The directory for everything.
        teacher: A run directory, the name of a published teacher, a `.keras` or `.onnx` file, a
            file of features, a Keras model of images normalized as by `s2bnn_tf.data.normalize`,
            or a function from images (N, H, W, 3), RGB in uint8 of the student's size, to features
            (N, D); trained here by default.
        words: A list of words to name pictures by, for a teacher that knows words, or a file of
            `s2bnn words`. The classes are written to `words.npz` in `output_dir`.
        minutes: The time for all of it.
        student: The name of a backbone, or a Keras model of normalized images to features
            (N, D) or maps (N, H, W, D), which is copied with its weights. A model trains in one
            step, as it is: with 1-bit weights if it has 1-bit layers, else with real ones.
        objective: What the student minimizes: `distillation`, `similarity`, `regression` (by
            default), a name of `register_objective`, or a function of its embeddings `query` and
            the teacher's `target`, both (N, D) of unit length, that returns a scalar tensor.
        size: `small`, `medium` or `large`: 32, 96 or 128 pixels; by default by the pictures.
        init: A run directory or a `.tflite` of the same network to start the student from,
            `"starter"`, or `"random"`; by default the starter, where the student has its network.
        hold_out: The share of the pictures to measure with, 0 to below 1.
        target: The kind of device that the bundle is for.
        overrides: Changes to the recipes, as `"section.key=value"`.
        callbacks: Callbacks of Keras, called in every stage with a `Pretrainer` as their `model`.
            One that sets `stop_training` ends the stage there. Their exceptions pass through.
        loggers: Any of `tensorboard`, `mlflow` and `wandb`; the first by default.
        progress: Called with lines for the user; by default they go to standard error, and in a
            notebook below its cell.

    Returns:
        The encoder.

    Raises:
        UserError: If something is wrong with the images or the options, or a file cannot be
            written.
        TrainingStopped: After Ctrl-C, when everything is saved.
    """
    output = Path(output_dir)
    _check(minutes, size, hold_out, target, callbacks)
    if words is not None and not isinstance(words, (str, Path)):
        raise ConfigError(f"words: expected the path of a file, not {type(words).__name__}.")
    with own_errors():
        check_output_dir(output)
        objects = take_objects(student, teacher, objective, output)
        names = () if loggers is None else (f"loggers=[{', '.join(loggers)}]",)
        options = Options(
            float(minutes),
            objects.teacher,
            size,
            str(init) if init is not None else None,
            (*objects.overrides, *names, *overrides),
            hold_out,
            target,
            objects.names,
            None if words is None else str(words),
        )
        if is_given(data):
            images = output.with_name(f"{output.name}-images")
            data = write_images(data, images)
        report = progress or show_progress
        run_fit(data, output, options, callbacks=callbacks, progress=report)
        return FittedEncoder(output)


def load(
    path: str | Path,
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    size: int | tuple[int, int] | None = None,
    output: str = "embedding",
    resize: str = "crop",
) -> FittedEncoder:
    """Open an encoder: whatever can be a teacher, or a `.tflite`.

    Args:
        path: The directory of a fit, a run directory, the name of a published teacher that was
            downloaded, or a `.tflite`, `.keras` or `.onnx` file.
        mean: Of a `.keras` or `.onnx` file, which takes `(pixel - mean) / std` of pixels in 0..1:
            one number, or one per channel. By default what a `.onnx` file says, or else
            ImageNet's. A file that normalizes by itself has `mean=0, std=1`.
        std: Likewise.
        size: Of such a file: the side of its input in pixels, or height and width; by default
            the file's own, or 224.
        output: Of a `.onnx` file: the name of an output; by default the first with a vector for
            each picture.
        resize: Of such a file: `crop` keeps the center of a picture, `squash` all of it.

    Raises:
        UserError: If there is none, or it is damaged.
    """
    with own_errors():
        return FittedEncoder(path, mean=mean, std=std, size=size, output=output, resize=resize)


def _check(minutes: Any, size: Any, hold_out: Any, target: Any, callbacks: Sequence[Any]) -> None:
    """Refuse values that the command line would refuse."""
    if not (_is_number(minutes) and minutes > 0):
        raise ConfigError(f"minutes: expected a number above 0, not {minutes!r}.")
    if size is not None and size not in SIZES:
        raise ConfigError(f"size: expected one of {', '.join(SIZES)}, not {size!r}.")
    if not (_is_number(hold_out) and 0 <= hold_out < 1):
        raise ConfigError(f"hold_out: expected a share from 0 to below 1, not {hold_out!r}.")
    if target not in TARGETS:
        raise ConfigError(f"target: expected one of {', '.join(TARGETS)}, not {target!r}.")
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ConfigError(
                f"callbacks: expected callbacks of Keras, not {type(callback).__name__}."
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
