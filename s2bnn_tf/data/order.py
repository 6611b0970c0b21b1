"""Which images are in which batch, in which order, and with which random numbers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data.image_source import ImageSource
from s2bnn_tf.errors import DataError

ORDER, VIEWS, CROPS = 0, 1, 2  # the purposes of a seed
_CHUNK_VALUES = 2**20  # float32 values processed at a time: few enough to stay in the cache
_MOST_IN_A_CHUNK = 64  # limits the work that is thrown away where several devices share a batch


def steps_per_epoch(source: ImageSource, batch_size: int) -> int:
    """Return the number of whole batches in one pass over the source.

    Raises:
        DataError: If the source has fewer images than a batch.
    """
    steps = len(source) // batch_size
    if steps == 0:
        raise DataError(
            f"{source.name} has {len(source)} {source.split} images, fewer than one batch of "
            f"{batch_size}; set data.batch_size to {len(source)} or less."
        )
    return steps


def batch_indices(count: int, batch_size: int, *, seed: int, step: int) -> NDArray[np.int64]:
    """Return which of `count` images are in the batch of a step of `view_dataset`, `(B,)`."""
    epoch, row = divmod(step, count // batch_size)
    order: NDArray[np.int64] = epoch_order(count, seed, epoch).numpy()
    return order[row * batch_size : (row + 1) * batch_size]


def epoch_order(count: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Return the permutation of `count` images in one epoch, int64 `(count,)`."""
    indices = tf.range(count, dtype=tf.int64)
    return tf.random.experimental.stateless_shuffle(indices, fold_seed(seed, ORDER, epoch))


def fold_seed(seed: int, purpose: int, number: int | tf.Tensor) -> tf.Tensor:
    """Return the seed, int32 `(2,)`, of one epoch's order or of one chunk's views.

    Args:
        seed: The seed of the dataset, any integer.
        purpose: `ORDER`, `VIEWS` or `CROPS`.
        number: The number of the epoch or chunk.
    """
    pair = tf.constant([seed % 2**31, purpose], tf.int32)
    return tf.random.fold_in(pair, tf.cast(number, tf.int64))


def most_in_a_chunk(image_values: int) -> int:
    """Return how many images of that many values TensorFlow should process at a time."""
    return min(_MOST_IN_A_CHUNK, max(1, _CHUNK_VALUES // image_values))


def largest_divisor(number: int, most: int) -> int:
    """Return the largest divisor of `number` that is at most `most`."""
    return max(d for d in range(1, number + 1) if number % d == 0 and d <= most)
