"""Pictures for `s2bnn-run`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.errors import PictureError, S2bnnError, file_errors

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
KEPT_BY_CENTER_CROP = 0.875  # of the shorter side, as in 224 of 256


class Preprocessing(Enum):
    """The range of RGB values that a model expects."""

    RAW = "raw"  # 0 to 255
    SYMMETRIC = "symmetric"  # -1 to 1
    IMAGENET = "imagenet"  # normalized by ImageNet's mean and standard deviation


def picture_files(paths: Iterable[Path]) -> list[Path]:
    """List the named files, and the pictures in the named folders, sorted within each folder.

    Raises:
        S2bnnError: If there is no picture, or if Pillow is not installed.
    """
    suffixes = _pillow().registered_extensions()
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes)
        else:
            found.append(path)
    if not found:
        raise S2bnnError(f"there is no picture in {', '.join(map(str, paths))}")
    return found


def load_image(
    path: Path,
    detail: dict[str, Any],
    preprocessing: Preprocessing,
    *,
    kept: float = KEPT_BY_CENTER_CROP,
) -> NDArray[Any]:
    """Read the central square of a picture, resized for a model's input.

    Args:
        path: A picture in any format that Pillow reads.
        detail: The host's description of the input, with shape (1, H, W, 3).
        preprocessing: The range of values that the model expects.
        kept: The share of the shorter side that is kept, above 0 and at most 1.

    Returns:
        An array (1, H, W, 3) with the input's data type.

    Raises:
        PictureError: If the file cannot be read or is not a picture; the message names it.
        S2bnnError: If Pillow is not installed.
    """
    image = _pillow()
    _, height, width, _ = (int(size) for size in detail["shape"])
    try:
        with image.open(path) as picture:
            rgb = picture.convert("RGB")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        with file_errors(PictureError):
            raise error
    except Exception as error:
        raise PictureError(
            f"{path} is not a picture that Pillow can read; remove it, or save it again as JPEG or "
            "PNG"
        ) from error
    side = kept * min(rgb.size)
    left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
    box = (left, top, left + side, top + side)
    resized = rgb.resize((width, height), image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(resized, np.float32)
    if preprocessing is Preprocessing.SYMMETRIC:
        pixels = pixels / 127.5 - 1
    elif preprocessing is Preprocessing.IMAGENET:
        pixels = (pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD
    dtype = np.dtype(detail["dtype"])
    if dtype == np.int8:
        scale, zero_point = detail["quantization"]
        pixels = np.clip(np.round(pixels / scale) + zero_point, -128, 127)
    return pixels[np.newaxis].astype(dtype)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise S2bnnError("reading pictures needs Pillow: pip install pillow") from error
    return Image
