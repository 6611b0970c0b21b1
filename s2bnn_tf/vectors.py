"""Vectors whose products are cosines."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Shorter vectors count as zeros, before their squares vanish in 32 bits.
_SMALLEST = 1e-12


def unit_length(rows: ArrayLike) -> NDArray[np.float32]:
    """Scale vectors `(..., D)` to length 1, float32; zeros remain zeros."""
    vectors = np.asarray(rows, np.float32)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(_SMALLEST))
    return unit
