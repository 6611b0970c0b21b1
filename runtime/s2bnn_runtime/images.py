"""Pictures for `s2bnn-run`."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.errors import PictureError, S2bnnError

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
GRAY_MEAN, GRAY_STD = np.float32(0.449), np.float32(0.226)  # the means of the three
KEPT_BY_CENTER_CROP = 0.875  # of the shorter side, as in 224 of 256


class Preprocessing(Enum):
    """The range of RGB or gray values that a model expects."""

    RAW = "raw"  # 0 to 255
    SYMMETRIC = "symmetric"  # -1 to 1
    IMAGENET = "imagenet"  # normalized by ImageNet's mean and standard deviation


def takes_a_picture(details: list[dict[str, Any]]) -> bool:
    """Whether a model's inputs are one picture, RGB or gray."""
    return len(details) == 1 and len(details[0]["shape"]) == 4 and details[0]["shape"][3] in (1, 3)


def picture_files(paths: Iterable[Path]) -> list[Path]:
    """List the named files, and the pictures in the named folders, sorted within each folder.

    A name that does not exist may be a pattern, such as `photos/**/*.jpg`, for what shells and
    services do not replace; its files and folders are sorted.

    Raises:
        S2bnnError: If there is no picture, or if Pillow is not installed.
    """
    _pictures()
    found: list[Path] = []
    for named in paths:
        for path in matches(named):
            found += pictures_below(path) if path.is_dir() else [path]
    if not found:
        raise S2bnnError(f"there is no picture in {', '.join(map(str, paths))}")
    return found


def pictures_below(folder: Path) -> list[Path]:
    """List the pictures in a folder and in those below; there may be none.

    Raises:
        S2bnnError: If Pillow is not installed.
    """
    found: list[Path] = _pictures().find_pictures(folder).paths
    return found


def matches(path: Path) -> list[Path]:
    """What a pattern stands for; a name that is none stands for itself."""
    if os.path.lexists(path) or not glob.has_magic(str(path)):
        return [path]
    return sorted(map(Path, glob.glob(str(path), recursive=True)))


def load_image(
    path: Path,
    detail: dict[str, Any],
    preprocessing: Preprocessing,
    *,
    kept: float = KEPT_BY_CENTER_CROP,
) -> NDArray[Any]:
    """Read the center of a picture, resized for a model's input, as the host does.

    Args:
        path: A picture in a format of `pictures`.
        detail: The host's description of the input, with shape (1, H, W, C); of one channel, the
            picture becomes gray.
        preprocessing: The range of values that the model expects.
        kept: The share of what the input covers that is kept, above 0 and at most 1.

    Returns:
        An array (1, H, W, C) with the input's data type.

    Raises:
        PictureError: If the file cannot be read or is not a picture; the message names it.
        S2bnnError: If Pillow is not installed.
    """
    return as_input(read_picture(path), detail, preprocessing, kept=kept)


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture file to upright RGB, uint8 `(H, W, 3)`.

    Raises:
        PictureError: If the file cannot be read or is not a picture; the message names it.
        S2bnnError: If Pillow is not installed.
    """
    pictures = _pictures()
    try:
        whole: NDArray[np.uint8] = pictures.decode(pictures.read_file(path))
    except Exception as error:  # a broken file can raise nearly anything inside a decoder
        if isinstance(error, (FileNotFoundError, IsADirectoryError, PermissionError)):
            advice = "name a picture's file that can be opened"
        else:
            advice = "remove it, or save it again as JPEG or PNG"
        reason = pictures.failure_reason(error)
        raise PictureError(f"{path} cannot be read ({reason}); {advice}") from error
    return whole


def as_input(
    whole: NDArray[np.uint8],
    detail: dict[str, Any],
    preprocessing: Preprocessing = Preprocessing.RAW,
    *,
    kept: float | None,
) -> NDArray[Any]:
    """Resize a picture for a model's input.

    Args:
        whole: RGB, uint8 `(H, W, 3)`.
        detail: The host's description of the input, with shape (1, H, W, C); of one channel, the
            picture becomes gray.
        preprocessing: The range of values that the model expects.
        kept: The share of what the input covers that is kept, as for `load_image`; None resizes
            the whole picture, whatever its shape.

    Returns:
        An array (1, H, W, C) with the input's data type.
    """
    pictures = _pictures()
    _, height, width, channels = (int(size) for size in detail["shape"])
    if kept is None:
        whole, kept = pictures.resize(whole, (height, width)), 1.0
    pixels = pictures.see(whole, (height, width, channels), kept).astype(np.float32)
    if preprocessing is Preprocessing.SYMMETRIC:
        pixels = pixels / 127.5 - 1
    elif preprocessing is Preprocessing.IMAGENET:
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else (GRAY_MEAN, GRAY_STD)
        pixels = (pixels / 255 - mean) / std
    dtype = np.dtype(detail["dtype"])
    if dtype == np.int8:
        scale, zero_point = detail["quantization"]
        pixels = np.clip(np.round(pixels / scale) + zero_point, -128, 127)
    prepared: NDArray[Any] = pixels[np.newaxis].astype(dtype)
    return prepared


def _pictures() -> Any:
    try:
        from s2bnn_runtime import pictures
    except ImportError as error:
        raise S2bnnError("reading pictures needs Pillow: pip install pillow") from error
    return pictures
