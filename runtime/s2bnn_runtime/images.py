"""Pictures for `s2bnn-run`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
KEPT_BY_CENTER_CROP = 0.875  # of the shorter side, as in 224 of 256


class PictureError(ValueError):
    """A file is not a picture."""


class Preprocessing(Enum):
    """What range of RGB values a model expects."""

    RAW = "raw"  # 0 to 255
    SYMMETRIC = "symmetric"  # -1 to 1
    IMAGENET = "imagenet"  # normalized by ImageNet's mean and standard deviation


def picture_files(paths: Iterable[Path]) -> list[Path]:
    """The files named, and the pictures in the folders named, sorted.

    Raises:
        ValueError: if there is none.
        ImportError: if Pillow is not installed.
    """
    suffixes = _pillow().registered_extensions()
    found: list[Path] = []
    for path in paths:
        found += sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes) if path.is_dir() else [path]
    if not found:
        raise ValueError(f"there is no picture in {', '.join(map(str, paths))}")
    return found


def load_image(
    path: Path, detail: dict[str, Any], preprocessing: Preprocessing, *, kept: float = KEPT_BY_CENTER_CROP
) -> np.ndarray:
    """Reads a picture for a model's input: its central square, resized.

    Args:
        path: of any picture that Pillow reads.
        detail: the host's description of the input, with shape (1, H, W, 3).
        preprocessing: what the model expects.
        kept: share of the shorter side that is kept, above 0 and at most 1.

    Returns:
        (1, H, W, 3), of the input's data type.

    Raises:
        OSError, PictureError: if it is no picture; the message names it.
        ImportError: if Pillow is not installed.
    """
    Image = _pillow()
    _, height, width, _ = (int(size) for size in detail["shape"])
    try:
        with Image.open(path) as picture:
            rgb = picture.convert("RGB")
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:
        raise PictureError(
            f"{path} is not a picture that Pillow can read; take it away, or save it anew as JPEG or PNG"
        ) from error
    side = kept * min(rgb.size)
    left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
    box = (left, top, left + side, top + side)
    pixels = np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR, box=box), np.float32)
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
        raise ImportError("reading pictures needs Pillow: pip install pillow") from error
    return Image
