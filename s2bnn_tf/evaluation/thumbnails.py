"""Small pictures for pages: what an encoder sees, in its own shape, and gray if it sees gray."""

from __future__ import annotations

import math

import numpy as np

from s2bnn_tf.data import ImageSource, prepare
from s2bnn_tf.evaluation.arrays import IntArray, PixelArray
from s2bnn_tf.evaluation.features import ImageEncoder
from s2bnn_tf.image_size import Shape, height_width

_SIDE = 64  # pixels, of a square; other shapes have its area


def make_thumbnails(
    source: ImageSource, indices: IntArray, encoder: ImageEncoder | None = None
) -> PixelArray:
    """Show pictures as an encoder sees them, in more pixels than it has if there are more.

    Args:
        source: The images.
        indices: Which of them, of any shape `(...)`.
        encoder: What sees them; by default, it sees whole squares in color.

    Returns:
        RGB, uint8 `(..., H, W, 3)`; equal channels for an encoder of gray images.
    """
    seen, channels = (1, 1), 3
    kept: float | None = 1.0  # None: squashed
    if encoder is not None:
        seen, channels = height_width(encoder.image_size), encoder.channels
        kept = encoder.center_crop
    height, width = _shape(*seen, longest=max(source.read(0).shape[:2]))
    shown = np.empty((indices.size, height, width, 3), np.uint8)
    for row, index in enumerate(indices.ravel()):
        shown[row] = _show(source.read(int(index)), (height, width, channels), kept)
    return shown.reshape(*indices.shape, height, width, 3)


def _shape(height: int, width: int, longest: int) -> tuple[int, int]:
    """Height and width of thumbnails of these proportions, no larger than the pictures are."""
    scale = min(_SIDE / math.sqrt(height * width), longest / max(height, width))
    return max(1, round(scale * height)), max(1, round(scale * width))


def _show(image: PixelArray, shape: Shape, kept: float | None) -> PixelArray:
    if image.shape == shape and kept == 1:
        return image
    return prepare(image, shape, kept)  # a single channel broadcasts
