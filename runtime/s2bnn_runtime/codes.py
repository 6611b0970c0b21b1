"""Vectors in 1 bit a dimension; `delegate.nearest` compares such codes."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

BITS = 128
_SEED = 0


def encode(units: NDArray[np.float32], center: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The signs of vectors that are centered and rotated at random, always in the same way.

    Two vectors differ in about as large a share of the bits as their angle is of half a turn.

    Args:
        units: `(N, D)`.
        center: `(D,)`, which is subtracted.

    Returns:
        `(N, BITS / 64)`.
    """
    signs = (units - center) @ _rotation(len(center)) > 0
    return np.ascontiguousarray(np.packbits(signs, axis=1)).view(np.uint64)


@functools.lru_cache(maxsize=4)
def _rotation(dim: int) -> NDArray[np.float32]:
    """Directions at right angles, as far as there are so many: `(D, BITS)`."""
    rotation = np.random.default_rng(_SEED).normal(size=(dim, BITS))
    if BITS <= dim:
        rotation = np.linalg.qr(rotation)[0]
    return rotation.astype(np.float32)
