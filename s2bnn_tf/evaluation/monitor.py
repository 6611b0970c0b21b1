"""Scores while training: kNN, which shows whether features get better, and how they are spread."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config
from s2bnn_tf.data import ImageSource, open_source, view_dataset
from s2bnn_tf.evaluation.features import extract_features
from s2bnn_tf.evaluation.knn import knn_accuracy
from s2bnn_tf.evaluation.spread import alignment, effective_rank, uniformity
from s2bnn_tf.runs import LoadedEncoder, build_augmentation

log = logging.getLogger(__name__)

# Enough for a score that is accurate to a percent, at a small part of an epoch's cost.
_BANK = 5000
_QUERIES = 1000
_SPREAD = 1024  # images of which two views are compared
_AT_ONCE = 128  # images
# The smallest healthy rank. An untrained ReActNet has 1.7, since its features share a large mean.
_COLLAPSED = 2.0


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


def spread_monitor(config: Config) -> Callable[[Encoder], dict[str, float]]:
    """Return a function from the student to the spread of its features, which needs no labels.

    Two views of up to 1,024 training images are drawn once, as training draws them. If the
    features use less than two dimensions, that is said once, with what usually helps.

    Args:
        config: The recipe, whose `data` names the images and how views are made.

    Returns:
        A function that returns `rankme`, `alignment` and `uniformity`; see
        `s2bnn_tf.evaluation.spread`.
    """
    # Opened by the first score, so that training need not wait for it.
    views = functools.cache(lambda: _pairs_of_views(config))
    warned: list[bool] = []

    def score(student: Encoder) -> dict[str, float]:
        pairs = [[student.backbone(view, training=False) for view in pair] for pair in views()]
        first, second = (np.concatenate(part).astype(np.float32) for part in zip(*pairs))
        rank = effective_rank(first)
        if rank < _COLLAPSED and not warned:
            warned.append(True)
            _explain_collapse(rank, first.shape, guided=config.teacher is not None)
        return {
            "rankme": rank,
            "alignment": alignment(first, second),
            "uniformity": uniformity(first),
        }

    return score


def _pairs_of_views(config: Config) -> tf.data.Dataset:
    """Batches of two views each of up to 1,024 training images, as training draws them."""
    source = open_source(config.data.source, "train")
    batch = min(_AT_ONCE, len(source))
    return view_dataset(
        source,
        build_augmentation(config.data),
        image_size=config.data.image_size,
        batch_size=batch,
        views=2,
        seed=config.seed,
        channels=config.data.channels,
    ).take(min(_SPREAD, len(source)) // batch)


def _explain_collapse(rank: float, shape: tuple[int, int], *, guided: bool) -> None:
    center = ", and set teacher.center if the teacher's own features share a large mean"
    log.warning(
        "The features of %d images use %.1f of %d dimensions (rankme), so all images look nearly "
        "alike to the student: it has collapsed, or has not begun to learn. Lower "
        "optimizer.learning_rate if the loss stands still, or train longer if it still falls%s.",
        shape[0],
        rank,
        shape[1],
        center if guided else "",
    )
