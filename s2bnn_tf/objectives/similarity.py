"""The loss that lets the student see the queue as its teacher sees it."""

from __future__ import annotations

import tensorflow as tf


def similarity_loss(
    query: tf.Tensor,
    target: tf.Tensor,
    queue_keys: tf.Tensor,
    temperature: float,
    teacher_temperature: float | None = None,
) -> tf.Tensor:
    """Match the distribution of the teacher's similarities to earlier images (SEED).

    The teacher's embedding of this image and those of the queue are D+. With
    `p = softmax(target @ D+ / T')` and `q = softmax(query @ D+ / T)`:

    `L = -mean_i sum_k p_ik log q_ik`

    No negative is wrong here: an image of the queue that the teacher finds similar
    is to be found similar. A momentum encoder is not needed.

    >>> same = tf.constant([[1.0, 0.0]])
    >>> other = tf.constant([[0.0, 1.0]])
    >>> similarity_loss(same, same, other, temperature=1.0).numpy().round(4)
    0.5822

    Args:
        query: `(B, D)`, unit length, from the student.
        target: `(B, D)`, unit length, from the teacher on the same view.
        queue_keys: `(K, D)`, unit length, the teacher's embeddings of earlier images.
        temperature: T of the student's distribution, above 0.
        teacher_temperature: T' of the teacher's; the same unless given. The paper has
            0.2 and 0.01.

    Returns:
        A scalar, in nats. No gradient reaches the target or the queue.

    References:
        SEED, https://arxiv.org/abs/2101.04731, equations 3 to 5.
    """
    teacher_temperature = teacher_temperature or temperature
    target, queue_keys = tf.stop_gradient(target), tf.stop_gradient(queue_keys)

    def similarities(embedding: tf.Tensor) -> tf.Tensor:  # (B, 1 + K)
        own = tf.reduce_sum(embedding * target, axis=-1, keepdims=True)
        return tf.concat([own, tf.matmul(embedding, queue_keys, transpose_b=True)], axis=-1)

    probabilities = tf.nn.softmax(similarities(target) / teacher_temperature, axis=-1)
    log_probabilities = tf.nn.log_softmax(similarities(query) / temperature, axis=-1)
    return -tf.reduce_mean(tf.reduce_sum(probabilities * log_probabilities, axis=-1))
