"""Weighted k-nearest-neighbor classification: the quickest honest look at an encoder.

Nothing is trained and nothing is tuned, so the number shows what is in the features themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from s2bnn_tf.evaluation.arrays import FloatArray, IntArray
from s2bnn_tf.vectors import unit_length

CHUNK_BYTES = 128 * 2**20  # of similarities held at once


def nearest_neighbors(
    train_features: FloatArray, test_features: FloatArray, k: int
) -> tuple[FloatArray, IntArray]:
    """Find the `k` training features most similar to each test feature, by cosine.

    Args:
        train_features: (N, D) floats of any norm.
        test_features: (M, D) floats.
        k: The number of neighbors per query; at most N are returned.

    Returns:
        Similarities in [-1, 1] and indices, each (M, min(k, N)), most similar first, equal ones
        in the order of the training set.

    Raises:
        ValueError: If the two do not have the same D, or the training set is empty.
    """
    if train_features.ndim != 2 or test_features.shape[1:] != train_features.shape[1:]:
        raise ValueError(
            f"expected (N, D) and (M, D), got {train_features.shape} and {test_features.shape}"
        )
    if not len(train_features) or k < 1:
        raise ValueError(f"no neighbors among {len(train_features)} features with k = {k}")
    k = min(k, len(train_features))
    bank = tf.constant(unit_length(train_features))  # (N, D)
    queries = unit_length(test_features)
    chunk = max(1, CHUNK_BYTES // (4 * len(train_features)))
    similarities = np.empty((len(queries), k), np.float32)
    indices = np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), chunk):
        rows = slice(start, start + chunk)
        top = tf.math.top_k(tf.matmul(queries[rows], bank, transpose_b=True), k)
        similarities[rows], indices[rows] = top.values, top.indices
    return similarities, indices


def knn_accuracy(
    train_features: FloatArray,
    train_labels: IntArray,
    test_features: FloatArray,
    test_labels: IntArray,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> dict[str, Any]:
    """Classify test features by a weighted vote of their nearest training features.

    Each of the `k` neighbors votes for its class with exp(cosine / temperature). Classes with
    equal votes keep the order of their labels. So do those without any votes, which complete the
    top 5 where the neighbors belong to fewer classes.

    Args:
        train_features: (N, D) floats.
        train_labels: (N,) integers, 0 or above.
        test_features: (M, D) floats.
        test_labels: (M,) integers, 0 or above.
        k: The number of neighbors that vote; all N of them if k is larger.
        temperature: The temperature of the weights. The smaller it is, the more the nearest
            neighbors decide.

    Returns:
        {"top1", "top5": fractions in [0, 1], "k": as used, "temperature", "n_train", "n_test"}.
        With five classes or fewer, `top5` is 1 by definition.

    Raises:
        ValueError: If shapes disagree, a set is empty or a label is negative.

    References:
        Wu et al. 2018, https://arxiv.org/abs/1805.01978, section 3.4. The same k and temperature
        have been customary for MoCo-style encoders since.
    """
    if len(train_features) != len(train_labels) or len(test_features) != len(test_labels):
        raise ValueError("features and labels differ in number")
    if not len(test_labels) or min(np.min(train_labels), np.min(test_labels)) < 0:
        raise ValueError("every feature needs a label of 0 or more, and there must be a test set")
    similarities, indices = nearest_neighbors(train_features, test_features, k)
    weights = np.exp(similarities.astype(np.float64) / temperature)  # (M, k)
    classes = int(max(np.max(train_labels), np.max(test_labels))) + 1
    votes = np.zeros((len(test_labels), classes))
    np.add.at(votes, (np.arange(len(votes))[:, None], np.asarray(train_labels)[indices]), weights)
    return {
        **top_accuracies(votes, test_labels),
        "k": similarities.shape[1],
        "temperature": temperature,
        "n_train": len(train_labels),
        "n_test": len(test_labels),
    }


def top_accuracies(scores: FloatArray, labels: IntArray) -> dict[str, float]:
    """Measure how often the right class has the best score, or one of the five best.

    Args:
        scores: (M, K), one per class, larger is better; among equal ones the first wins.
        labels: (M,) integers in [0, K).

    Returns:
        {"top1", "top5"}, fractions in [0, 1].
    """
    ranking = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    hits = ranking == np.asarray(labels)[:, None]
    return {"top1": float(hits[:, 0].mean()), "top5": float(hits.any(axis=1).mean())}
