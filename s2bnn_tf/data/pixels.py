"""Operations on one image in bytes, by OpenCV, rounded and clipped after each as Pillow does.

A large image fills the processor's cache by itself, and bytes are a quarter of floats: this is
the fast way for large images one by one, `augment` the one for batches of small ones.

Unless said otherwise they take and return RGB, uint8 `(H, W, 3)`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from s2bnn_tf.data.augment import GRAY_WEIGHTS, IMAGENET_MEAN, IMAGENET_STD

cv2.setNumThreads(1)  # many images are worked on at once already

_SHARP_ENOUGH = 1.1  # times the size: shrinking by less needs no antialiasing
_NEAR = 2.2  # times the size: where four samples for a pixel begin to miss what is between
_ALIGNMENT = 64  # bytes, TensorFlow's own
_GRAY = np.array(GRAY_WEIGHTS, np.float32)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize to `(size, size, 3)`, antialiased.

    Bilinear interpolation, which at exactly one half is the mean of each four pixels: halved
    until it is near, then resized to twice the size and halved once more, so that each pixel
    of the result is the mean of four samples. A third of the time of Pillow's antialiased
    BILINEAR, and on photographs within two levels of it on average.
    """
    while max(image.shape[:2]) > _NEAR * size:
        height, width, _ = image.shape
        image = cv2.resize(image, ((width + 1) // 2, (height + 1) // 2))
    if max(image.shape[:2]) > _SHARP_ENOUGH * size:
        image = cv2.resize(image, (2 * size, 2 * size))
    return cv2.resize(image, (size, size))


def change_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Move away from, or toward, black."""
    return cv2.convertScaleAbs(image, alpha=factor)


def change_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Move away from, or toward, the mean gray."""
    mean = float(_GRAY @ cv2.mean(image)[:3])
    return cv2.addWeighted(image, factor, image, 0.0, (1 - factor) * mean)


def change_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Move each pixel away from, or toward, its own gray: one matrix."""
    matrix = factor * np.eye(3, dtype=np.float32) + (1 - factor) * _GRAY
    return cv2.transform(image, matrix)


def change_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue by `shift`, in turns of the color circle, in HSV."""
    # In floats, which take no longer: OpenCV's HSV in bytes has 180 or 256 hues.
    hsv = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV)
    hue = hsv[..., 0]
    np.add(hue, 360 * (shift % 1), out=hue)  # OpenCV turns negative hues to other colors
    return cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


JITTER = (change_brightness, change_contrast, change_saturation, change_hue)  # as in `augment`


def to_gray(image: np.ndarray) -> np.ndarray:
    """The luma on all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian over the rows and one over the columns, cut off beyond three sigmas."""
    kernel = cv2.getGaussianKernel(2 * math.ceil(3 * sigma) + 1, sigma)
    return cv2.sepFilter2D(image, -1, kernel, kernel)


def normalize_batch(images: np.ndarray) -> np.ndarray:
    """Turn uint8 `(B, H, W, 3)` into what the networks take, float32: `(x / 255 - mean) / std`."""
    _, height, width, _ = images.shape
    scale, offset = _row_constants(width)
    result = _empty_for_tensorflow(images.shape)
    # A row of pixels at a time, since NumPy is slow along three channels, and image by image,
    # so that the second pass finds the first one's results in the cache.
    for image, normalized in zip(images, result):
        rows = normalized.reshape(height, 3 * width)
        np.multiply(image.reshape(height, 3 * width), scale, out=rows)
        np.subtract(rows, offset, out=rows)
    return result


def _empty_for_tensorflow(shape: tuple[int, ...]) -> np.ndarray:
    """Memory from NumPy, which asks for huge pages, aligned so that TensorFlow does not copy it.

    Fresh memory in small pages costs as much time as an image takes to be decoded.
    """
    size = math.prod(shape)
    buffer = np.empty(size + _ALIGNMENT // 4, np.float32)
    start = -buffer.ctypes.data % _ALIGNMENT // 4
    return buffer[start : start + size].reshape(shape)


@lru_cache
def _row_constants(width: int) -> tuple[np.ndarray, np.ndarray]:
    std = np.array(IMAGENET_STD)
    scale, offset = 1 / (255 * std), np.array(IMAGENET_MEAN) / std
    return np.tile(scale, width).astype(np.float32), np.tile(offset, width).astype(np.float32)
