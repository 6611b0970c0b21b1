"""Pictures are chosen by rule and show what is in the features."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from s2bnn_tf.data import ArraySource, open_source
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.evaluation import Gallery, find_mistakes, make_gallery
from s2bnn_tf.evaluation.thumbnails import make_thumbnails


def flat(source: ArraySource) -> np.ndarray:
    return source.images.reshape(len(source), -1).astype(np.float32)


def digits(split: str, count: int) -> ArraySource:
    return open_source("digits", split).select(np.arange(count))


def test_neighbors_are_the_most_similar_training_images():
    train, test = digits("train", 200), digits("test", 60)
    gallery = make_gallery(train, test, flat(train), flat(test))
    assert gallery.query_labels.tolist() == list(range(10))
    first = int(np.flatnonzero(test.labels == 4)[0])
    np.testing.assert_array_equal(gallery.query_images[4], test.images[first])
    query = flat(test)[first]
    cosines = flat(train) @ query / np.linalg.norm(flat(train), axis=1) / np.linalg.norm(query)
    order = np.argsort(-cosines)[:8]
    np.testing.assert_array_equal(gallery.neighbor_images[4], train.images[order])
    np.testing.assert_array_equal(gallery.neighbor_labels[4], train.labels[order])
    np.testing.assert_allclose(gallery.similarities[4], cosines[order], rtol=1e-5)
    assert gallery.places.shape == (60, 2)
    np.testing.assert_array_equal(gallery.place_labels, test.labels)


def test_the_map_keeps_neighbors_together():
    test = digits("test", 100)
    gallery = make_gallery(test, test, flat(test), flat(test))
    again = make_gallery(test, test, flat(test), flat(test))
    np.testing.assert_array_equal(gallery.places, again.places)
    distances = np.linalg.norm(gallery.places[:, None] - gallery.places[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    same = gallery.place_labels[distances.argmin(1)] == gallery.place_labels
    assert same.mean() > 0.8


def test_large_images_and_many_classes_are_cut_down():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (60, 90, 120, 3), dtype=np.uint8)
    source = ArraySource("x", "test", np.arange(60) % 30, tuple(map(str, range(30))), images)
    gallery = make_gallery(source, source, *[generator.normal(size=(60, 5))] * 2)
    assert gallery.query_images.shape == (10, 64, 64, 3)
    assert gallery.neighbor_images.shape == (10, 8, 64, 64, 3)
    assert len(np.unique(gallery.place_labels)) == 20
    assert gallery.class_counts.tolist() == [2] * 30, "so that it can be said what is left out"


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_shown_as_the_encoder_sees_them(channels, tmp_path):
    """Of its shape, and gray if it has one channel; what it does not see is not shown."""
    images = np.zeros((30, 60, 100, 3), np.uint8)
    images[:, 10:50] = [200, 80, 20]  # 40x100 of the 60x100 pixels, in the middle
    source = ArraySource("x", "test", np.arange(30) % 2, ("a", "b"), images)
    features = np.random.default_rng(0).normal(size=(30, 5))
    encoder = SimpleNamespace(image_size=(40, 100), channels=channels, center_crop=1.0)
    gallery = make_gallery(source, source, features, features, encoder)
    gallery.save(tmp_path / "gallery.npz")
    gallery = Gallery.load(tmp_path / "gallery.npz")
    assert gallery.query_images.shape == (2, 40, 100, 3)
    assert gallery.neighbor_images.shape == (2, 8, 40, 100, 3)
    color = [200, 80, 20] if channels == 3 else [109] * 3
    assert np.abs(gallery.query_images - np.array(color)).max() <= 1
    logits = np.stack([np.arange(30) % 2, 1 - np.arange(30) % 2], axis=1)
    mistakes = find_mistakes(source, logits.astype(np.float32), encoder)
    assert mistakes.images.shape == (24, 40, 100, 3)
    assert np.abs(mistakes.images - np.array(color)).max() <= 1
    right = find_mistakes(source, 1.0 - logits, encoder)
    assert right.images.shape == (0, 40, 100, 3)


@pytest.mark.parametrize(
    ("size", "shape"), [(32, (64, 64)), ((96, 320), (35, 117)), ((320, 96), (117, 35))]
)
def test_thumbnails_have_one_area_and_no_more_pixels_than_the_pictures(size, shape):
    images = np.zeros((12, 200, 150, 3), np.uint8)
    encoder = SimpleNamespace(image_size=size, channels=3, center_crop=0.875)
    source = ArraySource("x", "test", None, (), images)
    assert make_thumbnails(source, np.array([[3], [4]]), encoder).shape == (2, 1, *shape, 3)
    tiny = ArraySource("x", "test", None, (), images[:, :10, :8])
    assert max(make_thumbnails(tiny, np.array([0]), encoder).shape[1:3]) == 10


def test_images_without_labels(tmp_path):
    test = digits("test", 40)
    bare = ArraySource("x", "test", None, (), test.images)
    gallery = make_gallery(bare, bare, flat(test), flat(test))
    gallery.save(tmp_path / "gallery.npz")
    gallery = Gallery.load(tmp_path / "gallery.npz")
    assert gallery.places.shape == (40, 2)
    assert gallery.query_images.shape == (10, *test.images.shape[1:])
    np.testing.assert_array_equal(gallery.query_images[0], test.images[0])
    assert set(gallery.neighbor_labels.ravel()) == set(gallery.place_labels) == {-1}
    assert gallery.class_counts.tolist() == [40]


def test_few_images_have_neighbors_but_no_map():
    test = digits("test", 4)
    gallery = make_gallery(test, test, flat(test), flat(test))
    assert gallery.places.shape == (0, 2)
    assert gallery.neighbor_images.shape[1] == 4


def test_save_and_load(tmp_path):
    test = digits("test", 12)
    gallery = make_gallery(test, test, flat(test), flat(test))
    gallery.save(tmp_path / "gallery.npz")
    loaded = Gallery.load(tmp_path / "gallery.npz")
    for name, array in vars(gallery).items():
        np.testing.assert_array_equal(getattr(loaded, name), array)
    with np.load(tmp_path / "gallery.npz") as arrays:  # the keys of a file never change
        np.testing.assert_array_equal(arrays["neighbour_images"], gallery.neighbor_images)
        np.testing.assert_array_equal(arrays["neighbour_labels"], gallery.neighbor_labels)
        assert len(arrays.files) == 9


def test_a_missing_file_is_no_gallery_and_a_damaged_one_says_so(tmp_path):
    assert Gallery.load(tmp_path / "none.npz") is None
    np.savez(tmp_path / "pickle.npz", places=np.array([{}], dtype=object))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "pickle.npz").read_bytes()[:50])
    for name in ("pickle.npz", "cut.npz"):
        with pytest.raises(CheckpointError, match=f"{name} is damaged .*run the evaluation again"):
            Gallery.load(tmp_path / name)
