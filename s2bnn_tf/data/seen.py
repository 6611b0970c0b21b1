"""What a network sees of a picture: its center, or all of it squashed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data.pictures import resize, see, to_gray


def prepare(
    pixels: NDArray[Any], shape: tuple[int, int, int], kept: float | None
) -> NDArray[np.uint8]:
    """Resize a picture to the input of a network.

    Args:
        pixels: RGB `(H, W, 3)`, uint8.
        shape: Height, width and channels of the input, 3 or 1.
        kept: The share of the shorter side that is kept of its center, as for `see`; or None, and
            all of the picture is squashed to the shape.

    Returns:
        uint8, of that shape.
    """
    if kept is not None:
        return see(pixels, shape, kept)
    seen = resize(to_gray(pixels) if shape[2] == 1 else pixels, shape[:2])
    return seen.reshape(shape)
