"""Features of several crops of each image: the crops are those that the file names."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.data import open_images
from s2bnn_tf.data.pixels import resize
from s2bnn_tf.errors import DataError
from s2bnn_tf.evaluation.embed_crops import embed_crops
from s2bnn_tf.teachers import match_features, read_features

CROPS, SIZE = 3, 8


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def test_each_row_has_the_features_of_the_crop_that_it_names(make_encoder, photos, tmp_path):
    encoder, source = make_encoder(SIZE), open_images([photos])
    output = tmp_path / "features.npz"
    said = embed_crops(encoder, source, output, CROPS, seed=4)
    assert (said["images"], said["crops"], said["feature_dim"]) == (5, CROPS, SIZE * SIZE * 3)
    rows = read_features(output, "features")
    places = match_features(rows, source)
    np.testing.assert_array_equal(places, np.arange(5 * CROPS).reshape(5, CROPS))
    assert rows.sha256 == [digest for digest in source.digests() for _ in range(CROPS)]
    assert rows.flips.any() and not rows.flips.all()
    for row, box in enumerate(rows.boxes):
        image = source.read(row // CROPS)
        top, left, height, width = np.round(box * np.tile(image.shape[:2], 2)).astype(int)
        view = resize(image[top : top + height, left : left + width], SIZE)
        view = view[:, ::-1] if rows.flips[row] else view
        np.testing.assert_allclose(rows.features[row], encoder.features(view[None])[0], atol=1e-3)

    embed_crops(encoder, source, tmp_path / "again.npz", CROPS, seed=4)
    assert (tmp_path / "again.npz").read_bytes() == output.read_bytes()
    embed_crops(encoder, source, tmp_path / "other.npz", CROPS, seed=5)
    assert (read_features(tmp_path / "other.npz").boxes != rows.boxes).any()


def test_an_image_that_cannot_be_read_is_named(make_encoder, photos, tmp_path):
    data = (photos / "3.png").read_bytes()
    (photos / "3.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="1 images cannot be read, such as .*3.png"):
        embed_crops(make_encoder(SIZE), open_images([photos]), tmp_path / "f.npz", CROPS)
    assert not (tmp_path / "f.npz").exists()
