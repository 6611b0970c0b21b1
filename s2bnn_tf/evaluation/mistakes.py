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
from s2bnn_tf.evaluation.gallery import THUMBNAIL, thumbnail
from s2bnn_tf.reading import Array

WORST = 24


@dataclass(frozen=True)
class Mistakes(ArrayRecord):
    """The errors of a classifier on the test images.

    Attributes:
        confusion: (K, K) int64, the number of images of class [row] that were classified as
            [column].
        images: (W, T, T, 3) uint8, thumbnails of at most 24 wrongly classified images, the most
            confident first.
        labels: (W,) int64, their classes.
        predicted: (W,) int64, the classes that were predicted.
        confidence: (W,) float32, the probabilities of the predictions.
        class_names: (K,) text.
    """

    confusion: IntArray = stored(Array("iu", ("classes", "classes"), low=0))
    images: PixelArray = stored(Array("u", ("shown", "side", "side", 3), high=255))
    labels: IntArray = stored(Array("iu", ("shown",), low=0, below="classes"))
    predicted: IntArray = stored(Array("iu", ("shown",), low=0, below="classes"))
    confidence: FloatArray = stored(Array("f", ("shown",), low=0, high=1.001))
    class_names: TextArray = stored(Array("U", ("classes",)))


def find_mistakes(test: ImageSource, logits: FloatArray) -> Mistakes:
    """Compare a classifier's logits (M, K) with the labels of the M test images."""
    assert test.labels is not None
    classes = max(logits.shape[1], int(test.labels.max()) + 1)
    predicted = logits.argmax(axis=1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (test.labels, predicted), 1)
    confidence = softmax(logits).max(axis=1)
    wrong = np.flatnonzero(predicted != test.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")[:WORST]]
    size = min(THUMBNAIL, max(test.read(0).shape[:2]))
    shape = (len(worst), size, size, 3)
    images = [thumbnail(test.read(i), size) for i in worst]
    return Mistakes(
        confusion=confusion,
        images=np.array(images, np.uint8).reshape(shape),
        labels=test.labels[worst],
        predicted=predicted[worst],
        confidence=confidence[worst].astype(np.float32),
        class_names=np.array(test.class_names, dtype=np.str_),
    )
