"""A batch computed in parts, one after another, so that it fits in a small memory."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def split(batch: tf.Tensor, parts: int) -> tf.Tensor:
    """Split the first axis into two: the parts, and the images in each part."""
    rest = batch.shape[1:]
    return tf.ensure_shape(tf.reshape(batch, (parts, -1, *rest)), (parts, None, *rest))


def in_parts(function: Callable[[tf.Tensor], tf.Tensor], batch: tf.Tensor, parts: int) -> tf.Tensor:
    """Apply a function to the parts of a batch, one after another, and join the results."""
    if parts == 1:
        return function(batch)
    results = tf.map_fn(
        function, split(batch, parts), parallel_iterations=1, fn_output_signature=tf.float32
    )
    return tf.reshape(results, (-1, results.shape[-1]))
