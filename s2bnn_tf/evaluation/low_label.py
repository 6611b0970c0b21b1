"""Linear probes that see few labels, with the uncertainty of the choice of labels."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from s2bnn_tf.errors import ConfigError, DataError
from s2bnn_tf.evaluation.arrays import FloatArray, IntArray
from s2bnn_tf.evaluation.linear_lbfgs import fit_linear_probe

CONFIDENCE = 0.95


def draw_labeled(labels: IntArray, amount: str, seed: int) -> IntArray:
    """Draw the images whose labels are seen, the same share or number from every class.

    Args:
        labels: (N,) integers, 0 or above.
        amount: "10" for ten images of each class, "1%" for a hundredth of each class (rounded,
            at least one).
        seed: The seed of the draw.

    Returns:
        Indices into `labels`, sorted.

    Raises:
        ConfigError: If the amount is neither.
        DataError: If a class has fewer images.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", amount.strip())
    number = float(match[1]) if match else 0.0
    percent = bool(match and match[2])
    if number <= 0 or (percent and number > 100) or (not percent and number != int(number)):
        raise ConfigError(
            f"{amount!r} is no amount of labels; give a number of images per class, as in 10, or "
            "a share, as in 1%."
        )
    generator = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = max(1, round(len(rows) * number / 100)) if percent else int(number)
        if count > len(rows):
            raise DataError(
                f"A class has {len(rows)} labeled images, fewer than {amount}; ask for fewer."
            )
        chosen.append(generator.choice(rows, count, replace=False))
    return np.sort(np.concatenate(chosen))


def low_label_accuracy(
    train_features: FloatArray,
    train_labels: IntArray,
    test_features: FloatArray,
    test_labels: IntArray,
    *,
    amount: str,
    draws: int = 5,
) -> dict[str, Any]:
    """Fit linear probes to several draws of a few labels.

    Args:
        train_features: (N, C) floats.
        train_labels: (N,) integers in [0, K).
        test_features: (M, C) floats.
        test_labels: (M,) integers in [0, K).
        amount: The amount of labels, as for `draw_labeled`.
        draws: The number of draws, with the seeds 0, 1, ...

    Returns:
        {"top1": mean, "confidence_interval": [low, high] of the mean (Student's t, 95 %, from
        0 to 1; None for a single draw), "top1_of_draws", "n_train"}.

    Raises:
        ConfigError: If the amount is not understood.
        DataError: If a class has fewer images, or there are fewer than two classes.
    """
    names = [str(i) for i in range(int(max(train_labels.max(), test_labels.max())) + 1)]
    accuracies = []
    for seed in range(draws):
        rows = draw_labeled(train_labels, amount, seed)
        probe = fit_linear_probe(
            train_features[rows],
            train_labels[rows],
            test_features,
            test_labels,
            class_names=names,
            seed=seed,
        )
        accuracies.append(probe.metrics["top1"])
    return {
        "top1": float(np.mean(accuracies)),
        "confidence_interval": confidence_interval(accuracies),
        "top1_of_draws": accuracies,
        "n_train": len(rows),
    }


def confidence_interval(values: list[float]) -> list[float] | None:
    """Return the 95 % confidence interval of the mean, or None for fewer than two values.

    It follows from Student's t with `n - 1` degrees of freedom, and is cut off at 0 and 1, between
    which the mean of shares lies in any case.

    Args:
        values: Shares, 0 to 1.
    """
    from scipy.stats import t

    if len(values) < 2:
        return None
    half = (
        t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    )
    low, high = np.clip([np.mean(values) - half, np.mean(values) + half], 0, 1)
    return [float(low), float(high)]
