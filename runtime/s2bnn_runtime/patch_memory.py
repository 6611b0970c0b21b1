"""A memory of the places of normal pictures: a place unlike all of them is unusual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHARE = 0.1  # of all places, that the memory holds
_FEWEST, _MOST = 500, 1000  # places in the memory, where there are as many
_CANDIDATES = 20_000  # places that the memory is chosen from
_PROJECTED = 32  # dimensions in which it is chosen
_SEED = 0


@dataclass(frozen=True)
class PatchMemory:
    """A choice of the places of normal pictures that covers all of them.

    Attributes:
        places: Features of places, each the mean of its neighborhood, `(M, C)`.

    References:
        PatchCore, https://arxiv.org/abs/2106.08265, without the reweighting of its equation 7.
    """

    places: NDArray[np.float32]

    @classmethod
    def fit(cls, samples: list[NDArray[np.float32]]) -> PatchMemory:
        """Choose from the maps of pictures, each `(T, h, w, C)` for the T parts of a picture."""
        rng = np.random.default_rng(_SEED)
        total = sum(sample[..., 0].size for sample in samples)
        share = min(1.0, _CANDIDATES / total)
        chosen = []
        for sample in samples:  # as many of each picture, so that they need not all be joined
            places = neighborhoods(sample).reshape(-1, sample.shape[-1])
            count = max(1, round(share * len(places)))
            chosen.append(places[np.sort(rng.permutation(len(places))[:count])])
        candidates = np.concatenate(chosen)
        count = min(max(round(_SHARE * len(candidates)), _FEWEST), _MOST, len(candidates))
        return cls(candidates[cover(candidates, count)])

    def heat(self, sample: NDArray[np.float32]) -> NDArray[np.float64]:
        """The distance of each place of a picture to the nearest in memory: `(T, h, w)`."""
        places = neighborhoods(sample).reshape(-1, sample.shape[-1])
        center = self.places.mean(axis=0)  # what all have in common would cost digits
        known = self.places - center
        squares = (known**2).sum(axis=1) - 2 * ((places - center) @ known.T)
        nearest = self.places[squares.argmin(axis=1)]
        # Computed again from the difference: the sum above loses the digits of small distances.
        distances = np.linalg.norm(places.astype(np.float64) - nearest, axis=1)
        found: NDArray[np.float64] = distances.reshape(sample.shape[:3])
        return found


def neighborhoods(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each place and its neighbors, 3 by 3, at borders of those that there are.

    Args:
        maps: `(T, h, w, C)`.

    Returns:
        The same shape.
    """
    sums = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    sums = sums[:, :-2] + sums[:, 1:-1] + sums[:, 2:]
    sums = sums[:, :, :-2] + sums[:, :, 1:-1] + sums[:, :, 2:]
    rows, columns = (
        np.minimum(np.arange(side), 1) + np.minimum(np.arange(side)[::-1], 1) + 1
        for side in maps.shape[1:3]
    )
    counts = (rows[:, np.newaxis] * columns)[..., np.newaxis].astype(np.float32)
    means: NDArray[np.float32] = sums / counts
    return means


def cover(vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Choose vectors so that every other one is near a chosen one, greedily.

    Each choice is the vector that is farthest from those chosen before; the first is the one
    nearest to the mean. Fewer are chosen if they equal all others.

    Args:
        vectors: `(N, C)`.
        count: How many to choose, at most N.

    Returns:
        Their numbers, in the order of choice.
    """
    rng = np.random.default_rng(_SEED)
    if vectors.shape[1] > _PROJECTED:  # distances survive it nearly, and the search is faster
        scale = 1 / np.sqrt(_PROJECTED)
        projection = rng.normal(0, scale, (vectors.shape[1], _PROJECTED)).astype(np.float32)
        vectors = vectors @ projection
    chosen = [int(((vectors - vectors.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    distances = ((vectors - vectors[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count and distances.max() > 0:
        chosen.append(int(distances.argmax()))
        np.minimum(distances, ((vectors - vectors[chosen[-1]]) ** 2).sum(axis=1), out=distances)
    return np.array(chosen, np.int64)
