"""Weighted k-nearest-neighbor classification: the quickest honest look at an encoder.

Nothing is trained and nothing is tuned, so the number says what the features
hold by themselves.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

CHUNK_BYTES = 128 * 2**20  # of similarities held at once


def nearest_neighbors(
    train_features: np.ndarray, test_features: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the `k` training features most similar to each test feature, by cosine.

    Args:
        train_features: (N, D) floats of any length (norm).
        test_features: (M, D) floats.
        k: neighbors per query; at most N are returned.

    Returns:
        (similarities, indices), each (M, min(k, N)), most similar first, equal
        ones in the order of the training set. Similarities are in [-1, 1].

    Raises:
        ValueError: if the two do not have the same D, or the training set is empty.
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
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> dict:
    """Classify test features by a weighted vote of their nearest training features.

    Each of the `k` neighbors votes for its class with exp(cosine / temperature).
    Classes with equal votes keep the order of their labels, as do those without
    any, which fill the top 5 up where the neighbors know fewer classes.

    Args:
        train_features: (N, D); train_labels: (N,) integers, 0 and up.
        test_features: (M, D); test_labels: (M,) integers, 0 and up.
        k: neighbors that vote; all N of them where k is larger.
        temperature: of the weights; smaller listens to the nearest ones only.

    Returns:
        {"top1", "top5": fractions in [0, 1], "k": as used, "temperature", "n_train", "n_test"}.
        With five classes or fewer, `top5` is 1 by definition.

    Raises:
        ValueError: if shapes disagree, a set is empty or a label is negative.

    References:
        Wu et al. 2018, https://arxiv.org/abs/1805.01978, section 3.4; the same
        k and temperature are customary for MoCo-style encoders since.
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


def top_accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Measure how often the right class has the best score, and one of the five best.

    Args:
        scores: (M, K) per class, larger is better; of equal ones the first counts as better.
        labels: (M,) integers in [0, K).

    Returns:
        {"top1", "top5"}, fractions in [0, 1].
    """
    ranking = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    hits = ranking == np.asarray(labels)[:, None]
    return {"top1": float(hits[:, 0].mean()), "top5": float(hits.any(axis=1).mean())}


def unit_length(features: np.ndarray) -> np.ndarray:
    """Scale each row of (N, D) to length 1; rows of zeros stay."""
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
