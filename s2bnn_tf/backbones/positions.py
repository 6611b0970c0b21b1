"""Position embeddings of a vision transformer, interpolated to another number of patches.

The publishers of DINO and DINOv2 let PyTorch interpolate, in two ways, and a network is only right
with its own. Both are separable, so that each is two small matrices, computed here in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OFFSET = 0.1  # patches that DINO's code adds to the new size, against an error of rounding
_PLAIN, _ANTIALIASED = -0.75, -0.5  # the parameter of the cubic kernel in PyTorch's two functions


def by_scale(old: int, new: int) -> NDArray[np.float64]:
    """The matrix of bicubic interpolation by the scale factor `(new + 0.1) / old`.

    This is the rule of DINO, and of DINOv2 without registers. The sampling points are those of the
    factor and not of the sizes, so that they end a little before the border.

    >>> by_scale(4, 4).round(2)[0]
    array([ 1.01, -0.01,  0.  ,  0.  ])

    Args:
        old: The number of positions that were learned along one axis.
        new: The number of patches along this axis.

    Returns:
        A matrix `(new, old)` whose rows have the sum 1.

    References:
        https://github.com/facebookresearch/dino/blob/main/vision_transformer.py,
        `interpolate_pos_encoding`; PyTorch's `upsample_bicubic2d`.
    """
    matrix = np.zeros((new, old))
    centers = (np.arange(new) + 0.5) / ((new + OFFSET) / old) - 0.5
    first = np.floor(centers).astype(int) - 1
    for tap in range(4):
        weights = _cubic(centers - (first + tap), _PLAIN)
        np.add.at(matrix, (np.arange(new), np.clip(first + tap, 0, old - 1)), weights)
    return matrix


def by_size(old: int, new: int) -> NDArray[np.float64]:
    """The matrix of antialiased bicubic interpolation from one size to another.

    This is the rule of DINOv2 with registers.

    >>> np.array_equal(by_size(4, 4), np.eye(4))
    True

    Args:
        old: The number of positions that were learned along one axis.
        new: The number of patches along this axis.

    Returns:
        A matrix `(new, old)` whose rows have the sum 1.

    References:
        https://github.com/facebookresearch/dinov2/blob/main/dinov2/models/vision_transformer.py;
        PyTorch's `_upsample_bicubic2d_aa`.
    """
    scale = old / new
    stretch = max(scale, 1.0)  # the kernel grows where positions are left out
    centers = (np.arange(new) + 0.5)[:, None] * scale
    at = np.arange(old)[None]
    first = np.maximum((centers - 2 * stretch + 0.5).astype(int), 0)
    last = np.minimum((centers + 2 * stretch + 0.5).astype(int), old)
    weights = _cubic((at - centers + 0.5) / stretch, _ANTIALIASED)
    weights = np.where((at >= first) & (at < last), weights, 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Keys's cubic kernel with parameter `a`, which is 0 from a distance of 2."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
