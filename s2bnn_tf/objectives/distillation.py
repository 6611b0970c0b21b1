"""The loss that matches the student's distribution to the teacher's."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.objectives.checks import check_temperature, paired


def distillation_loss(
    query: tf.Tensor,
    target: tf.Tensor,
    temperature: float,
    teacher_temperature: float | None = None,
) -> tf.Tensor:
    """Match the distribution over the coordinates of the teacher's embedding.

    `p = softmax(target / T')`, `q = softmax(query / T)`, `L = -mean_i sum_d p_id log q_id`

    This is the cross-entropy, which is KL(p || q) plus the entropy of p. The entropy does
    not depend on the student, so the gradient equals that of the KL divergence. There is
    no factor T^2, and no gradient reaches the target.

    >>> same = tf.constant([[1.0, 0.0]])
    >>> distillation_loss(same, same, temperature=1.0).numpy().round(4)
    0.5822

    Args:
        query: The student's embeddings, `(B, D)`, unit length.
        target: The teacher's embeddings of the same views, `(B, D)`, unit length.
        temperature: The temperature T of the student's distribution, above 0.
        teacher_temperature: The temperature T' of the teacher's distribution, above 0;
            defaults to T, as in the paper.

    Returns:
        A scalar in nats, float32 even if the embeddings are float16.

    Raises:
        ValueError: If the shapes differ, the batch is empty, or a temperature is not above 0.

    References:
        S2-BNN, https://arxiv.org/abs/2102.08946, section 3.3.
    """
    if teacher_temperature is None:
        teacher_temperature = temperature
    check_temperature(temperature)
    check_temperature(teacher_temperature)
    query, target = paired(query, tf.stop_gradient(target))
    probabilities = tf.nn.softmax(target / teacher_temperature, axis=-1)
    log_probabilities = tf.nn.log_softmax(query / temperature, axis=-1)
    return -tf.reduce_mean(tf.reduce_sum(probabilities * log_probabilities, axis=-1))
