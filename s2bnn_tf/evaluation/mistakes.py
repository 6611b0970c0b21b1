"""Which classes a classifier confuses, and the images where it is wrong and most confident."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2bnn_tf.data import ImageSource
from s2bnn_tf.evaluation.arrays import (
    ArrayRecord,
    FloatArray,
    IntArray,
    PixelArray,
    TextArray,
    stored,
)
from s2bnn_tf.evaluation.calibration import softmax
from s2bnn_tf.evaluation.features import ImageEncoder
from s2bnn_tf.evaluation.thumbnails import make_thumbnails
from s2bnn_tf.reading import Array

WORST = 24


@dataclass(frozen=True)
class Mistakes(ArrayRecord):
    """The errors of a classifier on the test images.

    Attributes:
        confusion: (K, K) int64, the number of images of class [row] that were classified as
            [column].
        images: (N, H, W, 3) uint8, thumbnails of at most 24 wrongly classified images, the most
            confident first.
        labels: (N,) int64, their classes.
        predicted: (N,) int64, the classes that were predicted.
        confidence: (N,) float32, the probabilities of the predictions.
        class_names: (K,) text.
    """

    confusion: IntArray = stored(Array("iu", ("classes", "classes"), low=0))
    images: PixelArray = stored(Array("u", ("shown", "height", "width", 3), high=255))
    labels: IntArray = stored(Array("iu", ("shown",), low=0, below="classes"))
    predicted: IntArray = stored(Array("iu", ("shown",), low=0, below="classes"))
    confidence: FloatArray = stored(Array("f", ("shown",), low=0, high=1.001))
    class_names: TextArray = stored(Array("U", ("classes",)))


def find_mistakes(
    test: ImageSource, logits: FloatArray, encoder: ImageEncoder | None = None
) -> Mistakes:
    """Compare a classifier's logits (M, K) with the labels of the M test images.

    `encoder` is what sees the images, as for `make_thumbnails`.
    """
    assert test.labels is not None
    classes = max(logits.shape[1], int(test.labels.max()) + 1)
    predicted = logits.argmax(axis=1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (test.labels, predicted), 1)
    confidence = softmax(logits).max(axis=1)
    wrong = np.flatnonzero(predicted != test.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")[:WORST]]
    return Mistakes(
        confusion=confusion,
        images=make_thumbnails(test, worst, encoder),
        labels=test.labels[worst],
        predicted=predicted[worst],
        confidence=confidence[worst].astype(np.float32),
        class_names=np.array(test.class_names, dtype=np.str_),
    )
