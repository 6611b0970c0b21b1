"""Groups of vectors of unit length that point the same way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 30


def cluster(units: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Group vectors around means by cosine (spherical k-means).

    The first means are vectors that are far from each other, so the result does not depend on
    chance.

    Args:
        units: `(N, D)`, of unit length, N at least 1.
        count: The number of groups; fewer if fewer vectors differ.

    Returns:
        The group of each vector, `(N,)`, from 0 on; every group has members.
    """
    centers = units[far_apart(units, count)]
    members = np.full(len(units), -1, np.int64)
    for _ in range(_ROUNDS):
        found = (units @ centers.T).argmax(axis=1)
        if (found == members).all():
            break
        members = found
        sums = np.zeros_like(centers)
        np.add.at(sums, members, units)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centers = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centers)
    return np.unique(members, return_inverse=True)[1].reshape(-1)


def far_apart(units: NDArray[np.float64], count: int) -> list[int]:
    """Choose the vector nearest to the mean, and others, each the farthest from those before it.

    Args:
        units: `(N, D)`, of unit length.
        count: How many to choose; fewer if fewer differ.
    """
    chosen = [int((units @ units.sum(axis=0)).argmax())]
    nearest = units @ units[chosen[0]]
    while len(chosen) < min(count, len(units)) and nearest.min() < 1 - 1e-9:
        chosen.append(int(nearest.argmin()))
        np.maximum(nearest, units @ units[chosen[-1]], out=nearest)
    return chosen
