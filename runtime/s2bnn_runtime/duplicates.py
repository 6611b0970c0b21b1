"""Pictures that show the same, among many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIMILARITY = 0.95  # a cosine, from which on two pictures are the same
_EQUAL = 1e-3  # a distance between vectors of unit length, below which they are the same anyway
_BLOCK = 1024  # rows that are compared together


@dataclass(frozen=True)
class Group:
    """Pictures that show the same.

    Attributes:
        members: Their numbers, in order.
        scores: The similarity of each to the first.
    """

    members: list[int]
    scores: list[float]


def duplicates(vectors: NDArray[np.float32], similarity: float) -> list[Group]:
    """Group pictures that show the same, directly or through others between them.

    What all pictures have in common is subtracted first, because it makes the cosines of all pairs
    large. Vectors that are nearly equal are the same even if nothing is left of them then.

    Args:
        vectors: `(N, D)`, of unit length.
        similarity: The cosine from which on two pictures are the same.

    Returns:
        The groups of at least two, by their first members.
    """
    centered = vectors - vectors.mean(axis=0)
    units = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)
    parents = list(range(len(vectors)))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        alike = _scores(vectors, units, block) >= similarity
        for row, column in zip(*np.nonzero(alike)):
            one, other = sorted((root(int(row) + start), root(int(column))))
            parents[other] = one
    members: dict[int, list[int]] = {}
    for number in range(len(vectors)):
        members.setdefault(root(number), []).append(number)
    groups = []
    for first, group in members.items():
        if len(group) > 1:
            scores = _scores(vectors, units, slice(first, first + 1))[0][group]
            groups.append(Group(group, [float(score) for score in scores]))
    return groups


def _scores(
    vectors: NDArray[np.float32], units: NDArray[np.float32], block: slice
) -> NDArray[np.float32]:
    """The similarity of some pictures to all, 1 if they are nearly equal."""
    cosines = units[block] @ units.T
    squares = 2 - 2 * (vectors[block] @ vectors.T)  # distances of vectors of unit length
    scores: NDArray[np.float32] = np.where(squares < _EQUAL**2, np.float32(1), cosines)
    return scores
