"""A kNN score while training: the only curve that shows whether the features get better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config
from s2bnn_tf.data import ImageSource, open_source
from s2bnn_tf.evaluation.features import extract_features
from s2bnn_tf.evaluation.knn import knn_accuracy
from s2bnn_tf.runs import LoadedEncoder

# Enough for a score that is accurate to a percent, at a small part of an epoch's cost.
_BANK = 5000
_QUERIES = 1000


def knn_monitor(config: Config) -> Callable[[Encoder], float] | None:
    """Return a function from the student to its kNN accuracy on part of the labeled images.

    Up to 5,000 images of the training split vote on up to 1,000 held out from the same split.
    Both are drawn once, and the test split is not used.

    Args:
        config: The recipe, whose `data.source` names the images.

    Returns:
        A function that returns a number in [0, 1]; None if the images have no labels or are too
        few.
    """
    source = open_source(config.data.source, "train")
    labeled = np.flatnonzero(source.labels >= 0) if source.labels is not None else np.array([])
    if len(labeled) < 50:
        return None
    order = np.random.default_rng(config.seed).permutation(labeled)
    held_out = min(_QUERIES, len(order) // 5)
    queries = source.select(order[:held_out])
    bank = source.select(order[held_out : held_out + _BANK])
    opened: dict[int, LoadedEncoder] = {}  # tracing a student costs more than scoring it

    def score(student: Encoder) -> float:
        if id(student) not in opened:
            opened[id(student)] = LoadedEncoder(student, config, "student")
        encoder = opened[id(student)]
        return _top1(encoder, bank, queries)

    return score


def _top1(encoder: LoadedEncoder, bank: ImageSource, queries: ImageSource) -> float:
    bank_features, bank_labels = extract_features(encoder, bank)
    query_features, query_labels = extract_features(encoder, queries)
    result = knn_accuracy(bank_features, bank_labels, query_features, query_labels)
    return float(result["top1"])
