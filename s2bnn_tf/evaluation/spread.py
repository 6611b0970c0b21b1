"""How far features are spread: the rank that they use, alignment, and uniformity.

None of these needs labels. They show a collapse, where all images look alike to a network, which
a loss alone may hide.
"""

from __future__ import annotations

import numpy as np

from s2bnn_tf.blas import one_thread
from s2bnn_tf.evaluation.arrays import FloatArray
from s2bnn_tf.vectors import unit_length


def effective_rank(features: FloatArray) -> float:
    """Return the effective number of dimensions that features `(N, D)` use, 1 to min(N, D).

    References:
        RankMe, https://arxiv.org/abs/2210.02885, equation 1.
    """
    with one_thread():
        values = np.linalg.svd(np.asarray(features, np.float64), compute_uv=False)
    shares = values / max(float(values.sum()), 1e-12) + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


def alignment(first: FloatArray, second: FloatArray) -> float:
    """Return the mean squared distance of two views of the same images, scaled to unit length.

    Args:
        first: Features of a view of each image, `(N, D)`.
        second: Those of another view.

    Returns:
        A number from 0, where both views look the same, to 4.

    References:
        Wang and Isola, https://arxiv.org/abs/2005.10242, equation 1 with alpha = 2.
    """
    distances = unit_length(first) - unit_length(second)
    return float(np.mean(np.sum(np.square(distances, dtype=np.float64), axis=1)))


def uniformity(features: FloatArray) -> float:
    """Return how evenly features `(N, D)`, scaled to unit length, fill the sphere.

    The logarithm of the mean of `exp(-2 |a - b|^2)` over all pairs of different images.

    Returns:
        A number from -8 to 0, where all features are the same; lower is more even. It is about
        -4 for directions without order in many dimensions.

    References:
        Wang and Isola, https://arxiv.org/abs/2005.10242, equation 2 with t = 2.
    """
    units = unit_length(features).astype(np.float64)
    first, second = np.triu_indices(len(units), k=1)
    squared = np.maximum(2.0 - 2.0 * (units @ units.T)[first, second], 0.0)
    return float(np.log(np.mean(np.exp(-2.0 * squared))))
