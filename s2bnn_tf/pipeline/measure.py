"""What an encoder is compared with: raw pixels, and its teacher's neighbors."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data import ImageSource, labeled_dataset
from s2bnn_tf.evaluation import knn_accuracy, nearest_neighbors
from s2bnn_tf.image_size import Shape

PIXELS = (8, 32)  # sides of the small pictures that an encoder is compared with
MOST_MEASURED = 10_000  # pictures to learn from, and as many to measure with
_COPIES = 5  # of the largest of them while a linear probe learns from them

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


def pixel_features(
    train: ImageSource,
    test: ImageSource,
    side: int,
    center_crop: float,
    seen: Shape | None = None,
) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Take the pixels of small pictures as features, less their mean over the training pictures.

    Args:
        train: N training images.
        test: M test images.
        side: Height and width of the small pictures.
        center_crop: The fraction of the shorter side that is kept, as for the encoder.
        seen: Height, width and channels C of the encoder's input, whose part of a picture the
            small one shows; defaults to a square in color.

    Returns:
        float32 `(N, C * side**2)`, labels `(N,)`, and the same of the test images; C is 1 where
        all pictures are gray, since three equal channels say nothing more.
    """
    (bank, bank_labels), (queries, query_labels) = (
        _pixels(source, side, center_crop, seen or (side, side, 3)) for source in (train, test)
    )
    channels = max(bank.shape[-1], queries.shape[-1])
    bank, queries = (_with_channels(images, channels) for images in (bank, queries))
    bank, queries = bank.reshape(len(bank), -1), queries.reshape(len(queries), -1)
    mean = bank.mean(axis=0)
    return bank - mean, bank_labels, queries - mean, query_labels


def memory_to_measure(train: int, test: int, *, color: bool) -> int:
    """The bytes that measuring takes beside what training has left, most of them raw pixels.

    Args:
        train: The number of pictures to learn from.
        test: The number of pictures to measure with.
        color: Whether the pictures have colors.
    """
    pictures = min(train, MOST_MEASURED) + min(test, MOST_MEASURED)
    return _COPIES * 4 * pictures * (3 if color else 1) * PIXELS[-1] ** 2


def _pixels(
    source: ImageSource, side: int, center_crop: float, seen: Shape
) -> tuple[FloatArray, IntArray]:
    height, width, channels = seen
    size = side if height == width else (height, width)
    dataset = labeled_dataset(
        source, image_size=size, batch_size=256, center_crop=center_crop, channels=channels
    )
    labels, images = [], []
    for batch, batch_labels in dataset.as_numpy_iterator():
        small = _shrink(batch, side)
        is_gray = (small == small[..., :1]).all()
        images.append(small[..., :1].copy() if is_gray else small)
        labels.append(batch_labels)
    channels = max(small.shape[-1] for small in images)
    whole = np.concatenate([_with_channels(small, channels) for small in images])
    return whole, np.concatenate(labels)


def _with_channels(images: FloatArray, channels: int) -> FloatArray:
    """Repeat the channel of gray images where others have colors."""
    return images if images.shape[-1] == channels else np.repeat(images, channels, axis=-1)


def _shrink(images: FloatArray, side: int) -> FloatArray:
    """Resize images `(B, H, W, C)` to squares, antialiased; those of that side stay."""
    if images.shape[1:3] == (side, side):
        return images
    small: FloatArray = tf.image.resize(images, (side, side), antialias=True).numpy()
    return small


def pixel_knn(
    train: ImageSource, test: ImageSource, side: int, center_crop: float
) -> dict[str, Any]:
    """Measure the kNN accuracy of raw pixels, by the protocol of `evaluate_knn`.

    Returns:
        What `knn_accuracy` returns.
    """
    bank, bank_labels, queries, query_labels = pixel_features(train, test, side, center_crop)
    kept, asked = bank_labels >= 0, query_labels >= 0
    return knn_accuracy(bank[kept], bank_labels[kept], queries[asked], query_labels[asked])


def neighbors_kept(
    teacher: tuple[FloatArray, FloatArray], student: tuple[FloatArray, FloatArray]
) -> dict[str, float]:
    """Measure how many of the teacher's nearest neighbors are also the student's.

    Args:
        teacher: Its features of N training and of M test images.
        student: The student's, of the same images.

    Returns:
        `top1`: the share of test images whose nearest neighbor is the same; `top5`: the mean
        share of the teacher's five nearest that are among the student's five.
    """
    wanted, found = (nearest_neighbors(*features, 5)[1] for features in (teacher, student))
    shared = [len(set(a) & set(b)) / len(a) for a, b in zip(wanted.tolist(), found.tolist())]
    return {
        "top1": float(np.mean(wanted[:, 0] == found[:, 0])),
        "top5": float(np.mean(shared)),
    }
