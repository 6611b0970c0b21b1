"""Pictures for `s2bnn-run`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
KEPT_BY_CENTER_CROP = 0.875  # of the shorter side, as in 224 of 256


class Preprocessing(Enum):
    """What range of RGB values a model expects."""

    RAW = "raw"  # 0 to 255
    SYMMETRIC = "symmetric"  # -1 to 1
    IMAGENET = "imagenet"  # normalised by ImageNet's mean and standard deviation


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
        OSError, ValueError: if it is no picture; the message names it.
        ImportError: if Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("reading pictures needs Pillow: pip install pillow") from error
    _, height, width, _ = (int(size) for size in detail["shape"])
    with Image.open(path) as picture:
        rgb = picture.convert("RGB")
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
