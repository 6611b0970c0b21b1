"""Images in a page: neighbors of test images, and the worst mistakes of a classifier."""

from __future__ import annotations

import base64
import io
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data import ImageSource
from s2bnn_tf.evaluation import Gallery, Mistakes, make_thumbnails
from s2bnn_tf.report.table import NBSP

SHOWN_CLASSES = 20  # of a confusion matrix; more cannot be read
SHOWN_NEIGHBORS = 3  # classes that are named, of those of a picture's neighbors
_WIDE = 1.5  # times their height; such pictures have rows of four neighbors
SHOWN_PAIRS = 15  # of classes that are confused, where there is no matrix


@dataclass(frozen=True)
class WordRow:
    """A word, and the pictures that are put first for it.

    Attributes:
        name: The word.
        student: Thumbnails by the student, the nearest first, as from `thumbnails_of`.
        teacher: Those by the teacher.
    """

    name: str
    student: list[str]
    teacher: list[str]


def thumbnails_of(source: ImageSource, indices: NDArray[np.integer[Any]]) -> list[str]:
    """Some pictures of a source as small ones for a page, each in an address of its own."""
    return [_data_uri(picture) for picture in make_thumbnails(source, indices)]


def neighbor_rows(gallery: Gallery) -> list[dict[str, Any]]:
    """Return, for each query of a gallery, its tile, those of its neighbors, and their classes."""

    def named(label: int) -> str:
        return str(gallery.class_names[label]) if label >= 0 else ""

    def tile(image: NDArray[np.uint8], label: int) -> dict[str, Any]:
        return {"image": _data_uri(image), "label": named(label)}

    rows = []
    for query, label in enumerate(gallery.query_labels):
        neighbors = [
            {
                **tile(image, other),
                "similarity": f"{cosine:.2f}",
                "wrong": bool(other != label and min(other, label) >= 0),
            }
            for image, other, cosine in zip(
                gallery.neighbor_images[query],
                gallery.neighbor_labels[query],
                gallery.similarities[query],
                strict=True,
            )
        ]
        counts = Counter(gallery.neighbor_labels[query].tolist())
        found = [
            {"name": named(other), "count": count, "wrong": bool(other != label)}
            for other, count in counts.most_common(SHOWN_NEIGHBORS)
            if other >= 0
        ]
        height, width = gallery.query_images.shape[1:3]
        rows.append(
            {
                "wide": width > _WIDE * height,
                "query": tile(gallery.query_images[query], label),
                "neighbors": neighbors,
                "found": found if label >= 0 else [],
                "others": max(0, len(counts) - SHOWN_NEIGHBORS),
            }
        )
    return rows


def error_view(mistakes: Mistakes) -> dict[str, Any]:
    """Return the confusion matrix or, of many classes, its largest numbers; and the worst tiles."""
    confusion = mistakes.confusion
    names = [str(name) for name in mistakes.class_names]
    tiles = [
        {
            "image": _data_uri(image),
            "label": names[label],
            "predicted": names[predicted],
            "confidence": f"{100 * confidence:.0f}{NBSP}%",
        }
        for image, label, predicted, confidence in zip(
            mistakes.images, mistakes.labels, mistakes.predicted, mistakes.confidence, strict=True
        )
    ]
    few = len(names) <= SHOWN_CLASSES
    wrong, tested = int(confusion.sum() - np.trace(confusion)), int(confusion.sum())
    return {
        "rows": _confusion_rows(confusion, names) if few else [],
        "pairs": [] if few else _confused_pairs(confusion, names),
        "names": names,
        "tiles": tiles,
        "wrong": f"{wrong:,} of {tested:,}",
    }


def _confusion_rows(confusion: NDArray[np.integer[Any]], names: list[str]) -> list[dict[str, Any]]:
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return [
        {
            "name": names[i],
            "cells": [
                {"count": int(count), "share": float(share), "right": i == j}
                for j, (count, share) in enumerate(zip(row, row / total, strict=True))
            ],
        }
        for i, (row, total) in enumerate(zip(confusion, totals, strict=True))
    ]


def _confused_pairs(confusion: NDArray[np.integer[Any]], names: list[str]) -> list[dict[str, str]]:
    """The pairs of classes that are confused most often, by number and then by share."""
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    wrong = confusion * (1 - np.eye(len(names), dtype=confusion.dtype))
    order = np.lexsort((-(wrong / totals).ravel(), -wrong.ravel()))[:SHOWN_PAIRS]
    return [
        {"name": names[i], "predicted": names[j], "count": f"{wrong[i, j]:,} of {totals[i, 0]:,}"}
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[i, j]
    ]


def _data_uri(image: NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
