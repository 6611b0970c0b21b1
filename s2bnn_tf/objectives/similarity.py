"""The loss that matches the student's similarities to the queue to the teacher's."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.objectives.checks import check_temperature, paired, rows_of


def similarity_loss(
    query: tf.Tensor,
    target: tf.Tensor,
    queue_keys: tf.Tensor,
    temperature: float,
    teacher_temperature: float | None = None,
) -> tf.Tensor:
    """Match the distribution of the teacher's similarities to earlier images (SEED).

    Let D+ be the teacher's embedding of this image together with those in the queue,
    `p = softmax(target @ D+ / T')` and `q = softmax(query @ D+ / T)`. Then

    `L = -mean_i sum_k p_ik log q_ik`

    There are no false negatives: the student is to find those images similar that the
    teacher finds similar. No momentum encoder is needed.

    >>> same = tf.constant([[1.0, 0.0]])
    >>> other = tf.constant([[0.0, 1.0]])
    >>> similarity_loss(same, same, other, temperature=1.0).numpy().round(4)
    0.5822

    Args:
        query: The student's embeddings, `(B, D)`, unit length.
        target: The teacher's embeddings of the same views, `(B, D)`, unit length.
        queue_keys: The teacher's embeddings of earlier images, `(K, D)`, unit length.
        temperature: The temperature T of the student's distribution, above 0; 0.2 in the paper.
        teacher_temperature: The temperature T' of the teacher's distribution, above 0; 0.01
            in the paper. Defaults to T.

    Returns:
        A scalar in nats, float32 even if the embeddings are float16. No gradient reaches the
        target or the queue.

    Raises:
        ValueError: If the shapes do not fit each other, the batch is empty, or a temperature is
            not above 0.

    References:
        SEED, https://arxiv.org/abs/2101.04731, equations 3 to 5.
    """
    if teacher_temperature is None:
        teacher_temperature = temperature
    check_temperature(temperature)
    check_temperature(teacher_temperature)
    query, target = paired(query, tf.stop_gradient(target))
    queue_keys = rows_of(tf.stop_gradient(queue_keys), query)

    def similarities(embedding: tf.Tensor) -> tf.Tensor:  # (B, 1 + K)
        own = tf.reduce_sum(embedding * target, axis=-1, keepdims=True)
        return tf.concat([own, tf.matmul(embedding, queue_keys, transpose_b=True)], axis=-1)

    probabilities = tf.nn.softmax(similarities(target) / teacher_temperature, axis=-1)
    log_probabilities = tf.nn.log_softmax(similarities(query) / temperature, axis=-1)
    return -tf.reduce_mean(tf.reduce_sum(probabilities * log_probabilities, axis=-1))
