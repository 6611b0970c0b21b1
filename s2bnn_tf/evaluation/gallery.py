"""Pictures to judge an encoder by: some embeddings and some neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from s2bnn_tf.blas import one_thread
from s2bnn_tf.data import ImageSource
from s2bnn_tf.evaluation.arrays import (
    ArrayRecord,
    FloatArray,
    IntArray,
    PixelArray,
    TextArray,
    stored,
)
from s2bnn_tf.evaluation.features import ImageEncoder
from s2bnn_tf.evaluation.knn import nearest_neighbors
from s2bnn_tf.evaluation.thumbnails import make_thumbnails
from s2bnn_tf.reading import Array
from s2bnn_tf.vectors import unit_length

PLACES = 1500
MAPPED_CLASSES = 20  # more colors cannot be distinguished
QUERIES = 10
NEIGHBORS = 8


@dataclass(frozen=True)
class Gallery(ArrayRecord):
    """A sample of a model's features, and the nearest neighbors of a few test images.

    A label is -1 where an image has none.

    Attributes:
        places: (N, 2) float32, test images in the plane, similar features close together.
        place_labels: (N,) int64.
        query_images: (Q, H, W, 3) uint8, thumbnails of the first test image of each of Q classes,
            or of Q test images where none has a label.
        query_labels: (Q,) int64.
        neighbor_images: (Q, 8, H, W, 3) uint8, training images, most similar first.
        neighbor_labels: (Q, 8) int64.
        similarities: (Q, 8) float32, cosines.
        class_names: (K,) text.
        class_counts: (K,) int64, the number of test images of each class; (1,) for all of them
            where none has a label. None in a file of an earlier version.
    """

    places: FloatArray = stored(Array("f", ("places", 2)))
    place_labels: IntArray = stored(Array("iu", ("places",), low=-1, below="classes"))
    query_images: PixelArray = stored(Array("u", ("queries", "height", "width", 3), high=255))
    query_labels: IntArray = stored(Array("iu", ("queries",), low=-1, below="classes"))
    neighbor_images: PixelArray = stored(
        Array("u", ("queries", "neighbors", "height", "width", 3), high=255), "neighbour_images"
    )
    neighbor_labels: IntArray = stored(
        Array("iu", ("queries", "neighbors"), low=-1, below="classes"), "neighbour_labels"
    )
    similarities: FloatArray = stored(Array("f", ("queries", "neighbors")))
    class_names: TextArray = stored(Array("U", ("classes",)))
    class_counts: IntArray | None = stored(Array("iu", ("counted",), low=0, optional=True))


def make_gallery(
    train: ImageSource,
    test: ImageSource,
    train_features: FloatArray,
    test_features: FloatArray,
    encoder: ImageEncoder | None = None,
) -> Gallery:
    """Choose what is shown, by rule and never by how well it looks.

    Args:
        train: Images, in the order of the rows of `train_features`.
        test: Images, in the order of the rows of `test_features`.
        train_features: (N, D).
        test_features: (M, D).
        encoder: What sees the images, as for `make_thumbnails`.

    Returns:
        At most 1,500 places, evenly spaced over the test images of the 20 most frequent classes
        (none if there are fewer than 10), and one query for each of 10 classes, evenly spaced
        too. Without labels, both are evenly spaced over all test images.
    """
    labels, train_labels = (_labels(source) for source in (test, train))
    classes, first, counts = np.unique(labels, return_index=True, return_counts=True)
    if labels.max() < 0:
        first = np.arange(len(test))
    frequent = classes[np.argsort(-counts, kind="stable")[:MAPPED_CLASSES]]
    sample = _evenly(np.flatnonzero(np.isin(labels, frequent)), PLACES)
    if len(sample) < 10:
        sample = sample[:0]
    queries = _evenly(first, QUERIES)
    similarities, neighbors = nearest_neighbors(train_features, test_features[queries], NEIGHBORS)
    return Gallery(
        places=flatten(test_features[sample]) if len(sample) else np.zeros((0, 2), np.float32),
        place_labels=labels[sample],
        query_images=make_thumbnails(test, queries, encoder),
        query_labels=labels[queries],
        neighbor_images=make_thumbnails(train, neighbors, encoder),
        neighbor_labels=train_labels[neighbors],
        similarities=similarities,
        class_names=np.array(train.class_names, dtype=np.str_),
        class_counts=(
            np.array([len(test)])
            if labels.max() < 0
            else np.bincount(labels[labels >= 0], minlength=len(train.class_names))
        ),
    )


def _labels(source: ImageSource) -> IntArray:
    return np.full(len(source), -1, np.int64) if source.labels is None else source.labels


def flatten(features: FloatArray) -> FloatArray:
    """Place features (N, D) in the plane by t-SNE on cosines: (N, 2) float32.

    References:
        van der Maaten and Hinton 2008, Visualizing Data using t-SNE.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    features = unit_length(features)
    tsne = TSNE(2, perplexity=min(30.0, (len(features) - 1) / 3), init="pca", random_state=0)
    with one_thread():
        reduced = PCA(min(50, *features.shape), random_state=0).fit_transform(features)
        places: FloatArray = tsne.fit_transform(reduced)
    return places


def _evenly(values: IntArray, count: int) -> IntArray:
    if len(values) <= count:
        return values
    chosen: IntArray = values[np.linspace(0, len(values) - 1, count).round().astype(int)]
    return chosen
