"""A linear classifier on frozen features, fitted in seconds by L-BFGS."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from s2bnn_tf.blas import one_thread
from s2bnn_tf.errors import DataError
from s2bnn_tf.evaluation.arrays import FloatArray, IntArray
from s2bnn_tf.evaluation.knn import top_accuracies
from s2bnn_tf.runs import LinearProbe

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

REGULARIZATION = (0.01, 0.1, 1.0)  # scikit-learn's C, the inverse strength
HELD_OUT = 0.1  # the share of the training split that C is chosen on
MAX_ITERATIONS = 1000
NEVER = -1e4  # the bias of a class without training images


def fit_linear_probe(
    train_features: FloatArray,
    train_labels: IntArray,
    test_features: FloatArray,
    test_labels: IntArray,
    *,
    class_names: Sequence[str],
    seed: int = 0,
    max_iterations: int = MAX_ITERATIONS,
) -> LinearProbe:
    """Fit a multinomial logistic regression to standardized features by L-BFGS (the fast form).

    The regularization is the best of three on a tenth of the training split, and the classifier
    is then fitted to all of it. The test split decides nothing. Where the training split is too
    small to hold out a tenth, the regularization is the middle one, and "C_chosen_on" is None.

    Args:
        train_features: (N, C) floats.
        train_labels: (N,) integers in [0, K).
        test_features: (M, C) floats.
        test_labels: (M,) integers in [0, K).
        class_names: The K names.
        seed: The seed that the held-out tenth is drawn with.
        max_iterations: When a fit ends that has not converged.

    Returns:
        The classifier, with the standardization folded into kernel and bias.

    Raises:
        DataError: If the training split has fewer than two classes.
    """
    from sklearn.preprocessing import StandardScaler

    require_two_classes(train_labels)
    scaler = StandardScaler().fit(train_features.astype(np.float64))
    standardized = scaler.transform(train_features).astype(np.float32)
    fewer, back = _in_own_space(standardized)
    chosen = _choose_regularization(fewer, train_labels, seed, max_iterations)
    best = REGULARIZATION[1] if chosen is None else chosen
    model, converged = _logistic_regression(fewer, train_labels, best, max_iterations)
    scaled_kernel, scaled_bias = _per_class(model, len(class_names))
    scaled_kernel = back @ scaled_kernel / scaler.scale_[:, None]
    kernel = scaled_kernel.astype(np.float32)
    bias = (scaled_bias - scaler.mean_ @ scaled_kernel).astype(np.float32)
    return LinearProbe(
        kernel=kernel,
        bias=bias,
        class_names=tuple(class_names),
        parameters={
            "protocol": "fast",
            "solver": "lbfgs",
            "standardised": True,
            "C": best,
            "C_candidates": list(REGULARIZATION),
            "C_chosen_on": None if chosen is None else f"{HELD_OUT:.0%} of the training split",
            "max_iterations": max_iterations,
            "converged": converged,
            "augmentation": None,
            "seed": seed,
        },
        metrics={
            "n_train": len(train_labels),
            "n_test": len(test_labels),
            **top_accuracies(test_features @ kernel + bias, test_labels),
        },
    )


def require_two_classes(labels: IntArray | None) -> None:
    """Raise DataError if the labels (N,) are of fewer than two classes."""
    if labels is None or len(np.unique(labels)) < 2:
        raise DataError(
            "A classifier needs training images of at least two classes; name a source that has "
            "them with --data."
        )


def _in_own_space(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn features (N, C) so that N dimensions hold them; return them, and what turns back.

    With an L2 penalty, the best weights lie in the space that the features span, and a rotation
    changes neither losses nor norms: the classifier is the same, and wide features cost less.
    """
    count, width = features.shape
    if width <= count:
        return features, np.eye(width)
    with one_thread():
        left, values, right = np.linalg.svd(features.astype(np.float64), full_matrices=False)
    return (left * values).astype(np.float32), right.T


def _choose_regularization(
    features: FloatArray, labels: IntArray, seed: int, most: int
) -> float | None:
    """Return the C with the best accuracy on a held-out part; among equal ones the smallest.

    Returns:
        None if there are too few images to hold any out.
    """
    from sklearn.model_selection import train_test_split

    counts = np.unique(labels, return_counts=True)[1]
    if len(labels) * HELD_OUT < len(counts) or min(counts) < 2:
        return None
    fit, held, fit_labels, held_labels = train_test_split(
        features, labels, test_size=HELD_OUT, random_state=seed, stratify=labels
    )
    models = [_logistic_regression(fit, fit_labels, c, most)[0] for c in REGULARIZATION]
    scores = [np.mean(model.predict(held) == held_labels) for model in models]
    return REGULARIZATION[int(np.argmax(scores))]


def _logistic_regression(
    features: FloatArray, labels: IntArray, c: float, most: int
) -> tuple[LogisticRegression, bool]:
    """Fit to features (N, C); return the model and whether it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is in the parameters instead
        model = LogisticRegression(C=c, max_iter=most).fit(features, labels)
    return model, bool(max(model.n_iter_) < most)


def _per_class(model: LogisticRegression, classes: int) -> tuple[FloatArray, FloatArray]:
    """Spread scikit-learn's coefficients, which cover only the classes seen, over all classes."""
    coefficients, intercepts = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
    if len(model.classes_) == 2:  # one row: the logit of the second class against the first
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    kernel, bias = np.zeros((coefficients.shape[1], classes)), np.full(classes, NEVER)
    kernel[:, model.classes_] = coefficients.T
    bias[model.classes_] = intercepts
    return kernel, bias
