"""The contrastive loss of MoCo (momentum contrast)."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.objectives.checks import check_temperature, paired, rows_of


def info_nce_loss(
    query: tf.Tensor, key: tf.Tensor, queue_keys: tf.Tensor, temperature: float
) -> tf.Tensor:
    """InfoNCE: each query is to find its own key among the keys of the queue.

    `L = -mean_i log( exp(q_i.k_i / T) / (exp(q_i.k_i / T) + sum_j exp(q_i.n_j / T)) )`

    The keys are constants: no gradient reaches the query's own or those of the queue.

    >>> unit = tf.constant([[1.0, 0.0]])
    >>> info_nce_loss(unit, unit, -unit, temperature=1.0).numpy().round(4)
    0.1269

    Args:
        query: The student's embeddings q, `(B, D)`, unit length.
        key: The embeddings k of the other view of the same images, `(B, D)`, unit length.
        queue_keys: The negatives n, shared by all queries, `(K, D)`, unit length.
        temperature: The temperature T, above 0.

    Returns:
        A scalar, float32 even if the embeddings are float16.

    Raises:
        ValueError: If the shapes do not fit each other, the batch is empty, or the temperature
            is not above 0.

    References:
        MoCo, https://arxiv.org/abs/1911.05722, equation 1.
    """
    check_temperature(temperature)
    query, key = paired(query, tf.stop_gradient(key))
    queue_keys = rows_of(tf.stop_gradient(queue_keys), query)
    positive = tf.reduce_sum(query * key, axis=-1, keepdims=True) / temperature  # (B, 1)
    negative = tf.matmul(query, queue_keys, transpose_b=True) / temperature  # (B, K)
    logits = tf.concat([positive, negative], axis=-1)
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=-1) - positive[:, 0])
