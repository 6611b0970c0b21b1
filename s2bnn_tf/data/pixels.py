"""Operations on one image in bytes, with OpenCV, each rounded and clipped as in Pillow.

A large image fills the processor's cache by itself, and bytes take a quarter of the memory of
floats. This is the fast way for large images one by one; `augment` is for batches of small ones.

Unless documented otherwise, functions take and return RGB, uint8 `(H, W, 3)`, or gray `(H, W)`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data.augment import GRAY_WEIGHTS, channel_statistics
from s2bnn_tf.image_size import ImageSize, height_width

cv2.setNumThreads(1)  # many images are processed at the same time already

_SHARP_ENOUGH = 1.1  # times the size: shrinking by less needs no antialiasing
_NEAR = 2.2  # times the size: beyond it, four samples per pixel miss what lies between them
_ALIGNMENT = 64  # bytes, TensorFlow's own
_GRAY = np.array(GRAY_WEIGHTS, np.float32)

Pixels = NDArray[Any]  # uint8, which OpenCV's annotations do not say


def resize(image: Pixels, size: ImageSize) -> Pixels:
    """Resize to a height and width, antialiased.

    Bilinear interpolation at exactly one half is the mean of each four pixels. The image is
    halved until it is near the size, then resized to twice the size and halved once more, and
    each pixel of the result is the mean of four samples. This takes a third of the time of
    Pillow's antialiased BILINEAR and is within two levels of it on average on photographs.
    """
    high, wide = height_width(size)
    while _exceeds(image, _NEAR * high, _NEAR * wide):
        height, width = image.shape[:2]
        image = cv2.resize(image, ((width + 1) // 2, (height + 1) // 2))
    if _exceeds(image, _SHARP_ENOUGH * high, _SHARP_ENOUGH * wide):
        image = cv2.resize(image, (2 * wide, 2 * high))
    return cv2.resize(image, (wide, high))


def change_brightness(image: Pixels, factor: float) -> Pixels:
    """Move the image away from, or toward, black."""
    return cv2.convertScaleAbs(image, alpha=factor)


def change_contrast(image: Pixels, factor: float) -> Pixels:
    """Move the image away from, or toward, its mean luma."""
    mean = float(_GRAY @ cv2.mean(image)[:3]) if image.ndim == 3 else cv2.mean(image)[0]
    return cv2.addWeighted(image, factor, image, 0.0, (1 - factor) * mean)


def change_saturation(image: Pixels, factor: float) -> Pixels:
    """Move each pixel away from, or toward, its own luma, with one matrix."""
    if image.ndim == 2:
        return image
    matrix = factor * np.eye(3, dtype=np.float32) + (1 - factor) * _GRAY
    return cv2.transform(image, matrix)


def change_hue(image: Pixels, shift: float) -> Pixels:
    """Turn the hue in HSV by `shift`, in turns of the color circle."""
    if image.ndim == 2:
        return image
    # In floats, which take no longer: OpenCV's HSV in bytes has only 180 or 256 hues.
    hsv = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV)
    hue = hsv[..., 0]
    np.add(hue, 360 * (shift % 1), out=hue)  # OpenCV turns negative hues into other colors
    return cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


# In the order of `augment.BRIGHTNESS`, `CONTRAST`, `SATURATION` and `HUE`.
JITTER = (change_brightness, change_contrast, change_saturation, change_hue)


def to_gray(image: Pixels) -> Pixels:
    """Return the luma on all three channels."""
    if image.ndim == 2:
        return image
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blur(image: Pixels, sigma: float) -> Pixels:
    """Blur with a Gaussian of standard deviation `sigma` in pixels, cut off beyond three sigmas."""
    kernel = cv2.getGaussianKernel(2 * math.ceil(3 * sigma) + 1, sigma)
    return cv2.sepFilter2D(image, -1, kernel, kernel)


def normalize_batch(images: Pixels) -> NDArray[np.float32]:
    """Turn uint8 `(B, H, W, C)` into the networks' input, float32: `(x / 255 - mean) / std`."""
    _, height, width, channels = images.shape
    scale, offset = _row_constants(width, channels)
    result = _empty_for_tensorflow(images.shape)
    # A row of pixels at a time, since NumPy is slow along three channels; image by image, since
    # the second pass then finds the results of the first one in the cache.
    for image, normalized in zip(images, result):
        rows = normalized.reshape(height, channels * width)
        np.multiply(image.reshape(height, channels * width), scale, out=rows)
        np.subtract(rows, offset, out=rows)
    return result


def _empty_for_tensorflow(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return float32 memory, aligned as TensorFlow needs it to take it over without a copy.

    NumPy asks for huge pages: fresh memory in small pages costs as much time as decoding an image.
    """
    size = math.prod(shape)
    buffer = np.empty(size + _ALIGNMENT // 4, np.float32)
    start = -buffer.ctypes.data % _ALIGNMENT // 4
    return buffer[start : start + size].reshape(shape)


@lru_cache
def _row_constants(width: int, channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean, std = map(np.array, channel_statistics(channels))
    scale, offset = 1 / (255 * std), mean / std
    return np.tile(scale, width).astype(np.float32), np.tile(offset, width).astype(np.float32)


def _exceeds(image: Pixels, high: float, wide: float) -> bool:
    return bool(image.shape[0] > high or image.shape[1] > wide)
