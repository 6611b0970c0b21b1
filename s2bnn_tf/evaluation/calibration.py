"""Distances between distributions, the quantities behind guided calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from s2bnn_tf.evaluation.arrays import FloatArray, IntArray


def softmax(logits: FloatArray) -> FloatArray:
    """Return the softmax over the last axis, in float64."""
    logits = np.asarray(logits, np.float64)
    powers: FloatArray = np.exp(logits - logits.max(axis=-1, keepdims=True))
    total: FloatArray = powers.sum(axis=-1, keepdims=True)
    return powers / total


def coordinate_distribution(embeddings: FloatArray, temperature: float) -> FloatArray:
    """Return softmax(embedding / T), which `distillation_loss` compares.

    Args:
        embeddings: Embeddings of unit length, (N, D).
        temperature: The temperature T, above 0.

    Returns:
        (N, D) float64, each row a distribution over the coordinates.

    References:
        S2-BNN, https://arxiv.org/abs/2102.08946, section 3.3.
    """
    return softmax(np.asarray(embeddings, np.float64) / temperature)


def entropy(distribution: FloatArray) -> FloatArray:
    """Return the entropy (N,) of each row of (N, D), in nats; log(D) where it is uniform."""
    return np.asarray(-np.sum(distribution * _log(distribution), axis=-1))


def kl_divergence(p: FloatArray, q: FloatArray) -> FloatArray:
    """Return KL(p || q) (N,) of each row of two (N, D), in nats; 0 where they are the same."""
    return np.asarray(np.sum(p * (_log(p) - _log(q)), axis=-1))


def rank_agreement(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return Spearman's rank correlation (N,) of each row of two (N, D), in [-1, 1].

    It is 1 where both put the coordinates in the same order, whatever their values, and NaN
    where all the values of a row are equal.
    """
    from scipy.stats import rankdata

    first, second = (rankdata(x, axis=-1) for x in (a, b))
    first -= first.mean(axis=-1, keepdims=True)
    second -= second.mean(axis=-1, keepdims=True)
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sum(first * second, axis=-1) / lengths)


def reliability(logits: FloatArray, labels: IntArray, bins: int = 15) -> dict[str, Any]:
    """Compare a classifier's confidence with how often it is right.

    Args:
        logits: (N, K).
        labels: (N,) integers in [0, K).
        bins: The number of bins, of equal width over the confidences from 0 to 1. The upper edge
            belongs to a bin.

    Returns:
        {"expected_calibration_error": in [0, 1], "bins": [{"from", "to", "count", "confidence",
        "accuracy"}]}. Means are None in an empty bin.

    References:
        Guo et al. 2017, https://arxiv.org/abs/1706.04599, equations 2 and 3.
    """
    probabilities = softmax(logits)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    rows, error = [], 0.0
    for index in range(bins):
        inside = place == index
        row: dict[str, Any] = {"from": edges[index], "to": edges[index + 1]}
        row["count"] = int(inside.sum())
        row |= {"confidence": None, "accuracy": None}
        if row["count"]:
            row["confidence"] = float(confidence[inside].mean())
            row["accuracy"] = float(right[inside].mean())
            error += row["count"] / len(labels) * abs(row["accuracy"] - row["confidence"])
        rows.append(row)
    return {"expected_calibration_error": float(error), "bins": rows}


def _log(distribution: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(distribution, np.finfo(np.float64).tiny)))
