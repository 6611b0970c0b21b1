"""A Gaussian of the features of normal pictures: what is far from all of them is unusual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_KEPT_VARIANCE = 0.97  # of the features, by the main directions
_SMALLEST_VARIANCE = 1e-3  # of the mean variance, for the directions that vary least


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian in the main directions of its features, and one variance for all others.

    Attributes:
        mean: `(D,)`.
        directions: The main directions, `(K, D)`, of unit length.
        variances: The variance along each of them, `(K,)`.
        rest: The variance along every other direction, above 0.

    References:
        Deep feature modeling, https://arxiv.org/abs/1909.11786, with the rest of probabilistic
        principal component analysis, so that what is unusual in a direction without variance is
        seen as well.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    variances: NDArray[np.float64]
    rest: NDArray[np.float64]

    @classmethod
    def fit(cls, samples: list[NDArray[np.float32]]) -> Gaussian:
        """Fit it to the features of pictures, each `(T, D)` for the T parts of a picture."""
        features = np.concatenate(samples).astype(np.float64)
        count, dim = features.shape
        mean = features.mean(axis=0)
        centered = features - mean
        _, singular, directions = np.linalg.svd(centered, full_matrices=False)
        variances = singular**2 / max(count - 1, 1)
        total = float(variances.sum())
        enough = int(np.searchsorted(np.cumsum(variances), _KEPT_VARIANCE * total)) + 1
        # At most half as many directions as pictures: others would be noise of the few.
        kept = max(1, min(enough, (count - 1) // 2, dim - 1))
        floor = _SMALLEST_VARIANCE * total / dim + np.finfo(np.float32).tiny
        rest = max((total - float(variances[:kept].sum())) / max(dim - kept, 1), floor)
        return cls(mean, directions[:kept], np.maximum(variances[:kept], floor), np.array([rest]))

    def heat(self, sample: NDArray[np.float32]) -> NDArray[np.float64]:
        """The distance of each part of a picture from the mean, in deviations: `(T, 1, 1)`."""
        centered = np.asarray(sample, np.float64) - self.mean
        along = centered @ self.directions.T
        rest = np.maximum((centered**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        squares = (along**2 / self.variances).sum(axis=1) + rest / self.rest
        distances: NDArray[np.float64] = np.sqrt(squares / centered.shape[1])
        return distances[:, np.newaxis, np.newaxis]
