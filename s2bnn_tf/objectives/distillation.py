"""The loss that calibrates the student's distribution by the teacher's."""

from __future__ import annotations

import tensorflow as tf


def distillation_loss(
    query: tf.Tensor,
    target: tf.Tensor,
    temperature: float,
    teacher_temperature: float | None = None,
) -> tf.Tensor:
    """Match the distribution over coordinates of the teacher's embedding.

    `p = softmax(target / T')`, `q = softmax(query / T)`, `L = -mean_i sum_d p_id log q_id`

    This is the cross-entropy, KL(p || q) plus the entropy of p. The entropy does
    not depend on the student, so the gradient is that of the KL divergence. There
    is no factor T^2 and no gradient reaches the target.

    >>> same = tf.constant([[1.0, 0.0]])
    >>> distillation_loss(same, same, temperature=1.0).numpy().round(4)
    0.5822

    Args:
        query: `(B, D)`, unit length, from the student.
        target: `(B, D)`, unit length, from the teacher on the same view.
        temperature: T of the student's distribution, above 0.
        teacher_temperature: T' of the teacher's; the same, as in the paper, unless given.

    Returns:
        A scalar, in nats.

    References:
        S2-BNN, https://arxiv.org/abs/2102.08946, section 3.3.
    """
    probabilities = tf.stop_gradient(
        tf.nn.softmax(target / (teacher_temperature or temperature), axis=-1)
    )
    log_probabilities = tf.nn.log_softmax(query / temperature, axis=-1)
    return -tf.reduce_mean(tf.reduce_sum(probabilities * log_probabilities, axis=-1))
