"""The loss with which the student predicts the teacher's embedding."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.objectives.checks import paired


def regression_loss(query: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """The squared distance between two unit vectors (SimReg).

    `L = mean_i |query_i - target_i|^2 = mean_i (2 - 2 query_i . target_i)`

    SimReg predicts the teacher's features (`teacher.output: features`) with a deep
    head that is discarded after training.

    >>> regression_loss(tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])).numpy()
    2.0

    Args:
        query: The student's embeddings, `(B, D)`, unit length.
        target: The teacher's embeddings of the same views, `(B, D)`, unit length.

    Returns:
        A scalar in [0, 4], float32 even if the embeddings are float16. No gradient reaches the
        target.

    Raises:
        ValueError: If the shapes differ, or the batch is empty.

    References:
        SimReg, https://arxiv.org/abs/2201.05131, section 3.
    """
    query, target = paired(query, tf.stop_gradient(target))
    return tf.reduce_mean(tf.reduce_sum(tf.square(query - target), axis=-1))
