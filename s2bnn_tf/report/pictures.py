"""Images in a page: neighbors of test images, and the worst mistakes of a classifier."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.evaluation import Gallery, Mistakes
from s2bnn_tf.report.table import NBSP

SHOWN_CLASSES = 20  # of a confusion matrix; more cannot be read


def neighbor_rows(gallery: Gallery) -> list[dict[str, Any]]:
    """Return, for each query of a gallery, its tile and those of its neighbors."""

    def tile(image: NDArray[np.uint8], label: int) -> dict[str, Any]:
        return {"image": _data_uri(image), "label": str(gallery.class_names[label])}

    rows = []
    for query, label in enumerate(gallery.query_labels):
        neighbors = [
            {**tile(image, other), "similarity": f"{cosine:.2f}", "wrong": bool(other != label)}
            for image, other, cosine in zip(
                gallery.neighbor_images[query],
                gallery.neighbor_labels[query],
                gallery.similarities[query],
                strict=True,
            )
        ]
        rows.append({"query": tile(gallery.query_images[query], label), "neighbors": neighbors})
    return rows


def error_view(mistakes: Mistakes) -> dict[str, Any]:
    """Return the confusion matrix, if it can be read, and tiles of the worst mistakes."""
    confusion = mistakes.confusion
    names = [str(name) for name in mistakes.class_names]
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    rows = [
        {
            "name": names[i],
            "cells": [
                {"count": int(count), "share": float(share), "right": i == j}
                for j, (count, share) in enumerate(zip(row, row / total, strict=True))
            ],
        }
        for i, (row, total) in enumerate(zip(confusion, totals, strict=True))
    ]
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
    return {"rows": rows if len(names) <= SHOWN_CLASSES else [], "names": names, "tiles": tiles}


def _data_uri(image: NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
