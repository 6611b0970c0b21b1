"""The loss that matches the student's distribution over words to the teacher's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.objectives.checks import paired, rows_of


@dataclass(frozen=True)
class WordAxes:
    """Words as the axes of a distribution.

    Attributes:
        rows: Their vectors in the teacher's space, `(K, D)`, unit length.
        scale: What a cosine is multiplied by, above 0; 100 in CLIP.
        bias: What is added then. 0 means that the words compete in one softmax, as in CLIP; with
            any other number, each has a sigmoid of its own, as in SigLIP.

    >>> WordAxes(np.eye(2, dtype=np.float32), 100.0, 0.0).rows.shape
    (2, 2)
    """

    rows: NDArray[np.float32]
    scale: float
    bias: float


def words_loss(query: tf.Tensor, target: tf.Tensor, words: WordAxes) -> tf.Tensor:
    """Match the distribution over words, where S2-BNN matches that over coordinates.

    With `a = scale * target @ words + bias` and `b` likewise of the query, for CLIP

    `L = mean_i KL(softmax(a_i) || softmax(b_i))`

    and for SigLIP the sum of the divergences of single words,

    `L = mean_i sum_k KL(sigmoid(a_ik) || sigmoid(b_ik))`

    A student that learns by this loss alone learns the list; words that no picture shows, such as
    the 1,000 everyday words, let it learn the space.

    >>> axes = WordAxes(np.eye(2, dtype=np.float32), 1.0, 0.0)
    >>> first, second = tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])
    >>> words_loss(first, first, axes).numpy(), words_loss(second, first, axes).numpy().round(4)
    (0.0, 0.4621)

    Args:
        query: The student's embeddings, `(B, D)`, unit length.
        target: The teacher's embeddings of the same views, `(B, D)`, unit length.
        words: The words.

    Returns:
        A scalar in nats, at least 0, float32 even if the embeddings are float16. No gradient
        reaches the target.

    Raises:
        ValueError: If the shapes differ, or the batch is empty.

    References:
        S2-BNN, https://arxiv.org/abs/2102.08946, section 3.3; CLIP,
        https://arxiv.org/abs/2103.00020; SigLIP, https://arxiv.org/abs/2303.15343.
    """
    query, target = paired(query, tf.stop_gradient(target))
    rows = rows_of(tf.constant(words.rows), query)
    theirs, ours = (
        words.scale * tf.matmul(given, rows, transpose_b=True) + words.bias
        for given in (target, query)
    )
    if words.bias == 0:
        logs, own = tf.nn.log_softmax(theirs), tf.nn.log_softmax(ours)
        divergence = tf.exp(logs) * (logs - own)
    else:
        yes = tf.math.log_sigmoid(theirs) - tf.math.log_sigmoid(ours)
        no = tf.math.log_sigmoid(-theirs) - tf.math.log_sigmoid(-ours)
        divergence = tf.sigmoid(theirs) * yes + tf.sigmoid(-theirs) * no
    return tf.reduce_mean(tf.reduce_sum(divergence, axis=-1))
