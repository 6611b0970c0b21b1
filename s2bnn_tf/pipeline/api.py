"""`s2bnn_tf.fit` and `s2bnn_tf.load`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s2bnn_tf.pipeline.encoder import FittedEncoder
from s2bnn_tf.pipeline.given import is_given, write_images
from s2bnn_tf.pipeline.plan import Options
from s2bnn_tf.pipeline.stages import run_fit
from s2bnn_tf.progress import Progress, show_progress


def fit(
    data: Any,
    output_dir: str | Path,
    *,
    teacher: str | Path | None = None,
    minutes: float = 30.0,
    size: str | None = None,
    init: str | Path | None = None,
    hold_out: float = 0.2,
    target: str = "linux-aarch64",
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> FittedEncoder:
    """Make a 1-bit encoder of images, as `s2bnn fit` does; the same call resumes.

    Args:
        data: A folder, a sequence of picture files, another source as for `open_source`, an array
            (N, H, W, 3) uint8, or a `tf.data.Dataset` or `keras.utils.Sequence` of images or
            (image, label). Images in memory are written as PNG files beside `output_dir`.
        output_dir: The directory for everything.
        teacher: A run directory or a `.keras` file; trained here by default.
        minutes: The time for all of it.
        size: `small`, `medium` or `large`: 32, 64 or 128 pixels; by default by the pictures.
        init: A run directory of the same network to start the student from.
        hold_out: The share of the pictures to measure with.
        target: The kind of device that the bundle is for.
        overrides: Changes to the recipes, as `"section.key=value"`.
        progress: Called with lines for the user; by default they go to standard error.

    Returns:
        The encoder.

    Raises:
        UserError: If something is wrong with the images or the options.
        TrainingStopped: After Ctrl-C, when everything is saved.
    """
    options = Options(
        minutes,
        str(teacher) if teacher is not None else None,
        size,
        str(init) if init is not None else None,
        tuple(overrides),
        hold_out,
        target,
    )
    output = Path(output_dir)
    if is_given(data):
        images = output.with_name(f"{output.name}-images")
        data = f"list:{write_images(data, images)}"
    run_fit(data, output, options, progress=progress or show_progress)
    return FittedEncoder(output)


def load(path: str | Path) -> FittedEncoder:
    """Open an encoder: the directory of a fit, a run directory, or a `.tflite`.

    Raises:
        UserError: If there is none, or it is damaged.
    """
    return FittedEncoder(path)
