"""Clusters of unit vectors, and the vectors that represent all others best."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 30
_CANDIDATES = 4096  # evenly spread vectors, from which the representatives are chosen
_TIE = 1e-9  # cosines that differ by less are equal, in whichever order they were added up


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


def agglomerate(units: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Join the two groups whose members are the most alike on average, until `count` are left.

    The mean cosine between two groups is the product of their mean vectors, so the memory is that
    of the vectors; the time grows with the square of their number. Chains of nearest neighbors find
    the same groups as looking for the best pair each time (Murtagh 1983, "A survey of recent
    advances in hierarchical clustering algorithms").

    Args:
        units: `(N, D)`, of unit length, N at least 1.
        count: The number of groups; N if there are fewer vectors.

    Returns:
        The group of each vector, `(N,)`, in the order of their first members.
    """
    means, sizes = units.copy(), np.ones(len(units))
    alive = np.ones(len(units), bool)
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(merges) < len(units) - 1:
        if not chain:
            chain.append(int(alive.argmax()))
        last = chain[-1]
        alike = np.where(alive, means @ means[last], -np.inf)
        alike[last] = -np.inf
        nearest = int(alike.argmax())
        if len(chain) > 1 and alike[chain[-2]] >= alike[nearest] - _TIE:
            before = chain[-2]
            merges.append((float(alike[before]), before, last))
            both = sizes[before] + sizes[last]
            means[before] = (sizes[before] * means[before] + sizes[last] * means[last]) / both
            sizes[before], alive[last] = both, False
            del chain[-2:]
        else:
            chain.append(nearest)
    # The most alike pairs come first; equal ones stay in order, which is that of their making.
    merges.sort(key=lambda merge: -merge[0])
    parents = np.arange(len(units))
    for _, one, other in merges[: max(len(units) - count, 0)]:
        parents[parents == parents[other]] = parents[one]
    _, first, members = np.unique(parents, return_index=True, return_inverse=True)
    ranks: NDArray[np.int64] = first.argsort().argsort()
    groups: NDArray[np.int64] = ranks[members.reshape(-1)]
    return groups


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


def cover(units: NDArray[np.float64], count: int) -> list[int]:
    """Choose the vectors that stand for all others best (facility location).

    Each vector counts by its cosine with the most similar chosen one. Taking the vector that adds
    most each time reaches at least 63 % of the best sum (Nemhauser, Wolsey and Fisher 1978). What a
    vector adds only shrinks as others are chosen, so few have to be looked at again.

    Args:
        units: `(N, D)`, of unit length. Of more than 4,096, evenly spread ones may be chosen.
        count: How many to choose; fewer if fewer differ.

    Returns:
        Their numbers, those that add most first.
    """
    spread = np.linspace(0, len(units) - 1, min(len(units), _CANDIDATES)).astype(np.int64)
    added = len(units) + units[spread] @ units.sum(axis=0)  # beside none, which is a cosine of -1
    waiting = [(-float(gain), int(number)) for gain, number in zip(added, spread)]
    heapq.heapify(waiting)
    nearest = np.full(len(units), -1.0)
    chosen: list[int] = []
    while waiting and len(chosen) < count:
        _, number = heapq.heappop(waiting)
        cosines = units @ units[number]
        gain = float(np.maximum(cosines - nearest, 0).sum())
        if gain <= _TIE * len(units):
            continue  # it is equal to one that was chosen
        if waiting and gain < -waiting[0][0]:
            heapq.heappush(waiting, (-gain, number))
            continue
        chosen.append(number)
        np.maximum(nearest, cosines, out=nearest)
    return chosen
