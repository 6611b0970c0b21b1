"""Rows of features and pictures find each other, or one sentence names what is missing."""

from __future__ import annotations

import hashlib
import logging

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.data import ArraySource, open_images, open_source, pack
from s2bnn_tf.errors import DataError
from s2bnn_tf.teachers import FeatureRows, match_features

NAMES = ("cat/1.png", "cat/2.png", "dog/1.png")


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(NAMES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 12), (number, 0, 0)).save(path)
    return tmp_path / "photos"


def rows_of(paths=None, sha256=None, per=1, boxes=True) -> FeatureRows:
    keys = paths or sha256
    count = len(keys)
    shown = np.tile(np.float32([0, 0, 1, 1]), (count, 1)) if boxes and per > 1 else None
    flips = None if shown is None else np.zeros(count, bool)
    features = np.arange(count, dtype=np.float32)[:, None] + 1
    return FeatureRows("f.npz", features, paths, sha256, shown, flips)


@pytest.mark.parametrize(
    "prefix", ["", "photos/", "/elsewhere/pets/", "./", "C:/pictures/all/of/them/"]
)
def test_paths_match_below_any_folder(prefix, photos):
    order = [2, 0, 1]
    rows = rows_of([prefix + NAMES[i] for i in order])
    matched = match_features(rows, open_images([photos]))
    np.testing.assert_array_equal(matched[:, 0], np.argsort(order))


def test_crops_of_a_picture_need_not_be_neighbors(photos):
    rows = rows_of([*NAMES, *NAMES], per=2)
    matched = match_features(rows, open_images([photos]))
    np.testing.assert_array_equal(matched, [[0, 3], [1, 4], [2, 5]])


def test_a_part_of_the_pictures_is_enough_of_the_source(photos, caplog):
    caplog.set_level(logging.INFO, "s2bnn_tf")
    matched = match_features(rows_of(list(NAMES)), open_images([photos / "dog"]))
    np.testing.assert_array_equal(matched, [[2]])
    assert "f.npz has features of 2 more pictures, such as cat/1.png" in caplog.text


def test_digests_match_whatever_the_files_are_called(photos, tmp_path):
    source = open_images([photos])
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in source.paths]
    assert source.digests() == digests
    (photos / "dog/1.png").rename(photos / "dog/renamed.png")
    rows = rows_of(sha256=[d.upper() for d in digests[::-1]])
    np.testing.assert_array_equal(match_features(rows, open_images([photos])), [[2], [1], [0]])
    # A pack keeps the files as they are.
    pack(open_source(f"folder:{photos}"), tmp_path / "packed")
    packed = open_source(f"tfrecord:{tmp_path / 'packed'}")
    rows = rows_of(sha256=digests)
    found = match_features(rows, packed)
    np.testing.assert_array_equal([digests[i] for i in found[:, 0]], packed.digests())


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (rows_of(list(NAMES[:2])), "no features, by path, of 1 of the 3 .*dog/1.png"),
        (rows_of(sha256=["0" * 64] * 3), "no features, by SHA-256, of 3 of the 3 .*cat/1.png"),
        (rows_of([*NAMES, NAMES[0]], per=2), "1 rows of .*cat/2.png and 2 of .*cat/1.png"),
        (rows_of([*NAMES, *NAMES], per=2, boxes=False), "2 rows of .*no boxes"),
        (rows_of(["1.png", "2.png"]), "1.png may be .*cat/1.png or .*dog/1.png"),
    ],
)
def test_what_does_not_fit_is_named(rows, said, photos):
    with pytest.raises(DataError, match=said) as caught:
        match_features(rows, open_images([photos]))
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_without_names_the_order_counts():
    source = ArraySource("noise", "train", None, (), np.zeros((4, 8, 8, 3), np.uint8))
    rows = FeatureRows("f.npz", np.ones((4, 2)))
    np.testing.assert_array_equal(match_features(rows, source)[:, 0], range(4))
    boxes, flips = np.ones((8, 4), np.float32), np.zeros(8, bool)
    rows = FeatureRows("f.npz", np.ones((8, 2)), boxes=boxes, flips=flips)
    np.testing.assert_array_equal(match_features(rows, source), np.arange(8).reshape(4, 2))
    for count in (3, 8):
        with pytest.raises(DataError, match=f"{count} rows, .*order.* 4 train pictures of noise"):
            match_features(FeatureRows("f.npz", np.ones((count, 2))), source)
