"""What an encoder is compared with."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.data import center_crop as crop
from s2bnn_tf.data import load_image, open_source, to_gray
from s2bnn_tf.evaluation import knn_accuracy
from s2bnn_tf.pipeline import neighbors_kept, pixel_knn
from s2bnn_tf.pipeline.measure import pixel_features


def test_pixels_are_those_of_the_small_pictures(crops):
    train, test = (open_source(str(crops), split) for split in ("train", "test"))
    bank, labels, queries, _ = pixel_features(train, test, 8, 0.875)
    images = np.stack([crop(load_image(p), (8, 8), 0.875).ravel() for p in train.paths])
    np.testing.assert_allclose(bank, images - images.mean(axis=0), atol=1e-3)
    np.testing.assert_array_equal(labels, train.labels)
    assert queries.shape == (len(test), 192)
    assert 0.3 < pixel_knn(train, test, 8, 0.875)["top1"] < 1


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_a_rectangle_show_what_the_encoder_sees(channels, tmp_path):
    """Nothing outside of the part that the encoder sees counts, and all of it does."""
    rng = np.random.default_rng(0)
    seen = rng.integers(0, 256, (20, 20, 60, 3)).astype(np.uint8)
    sources = []
    for name, border in (("dark", 0), ("light", 255)):
        (tmp_path / name).mkdir()
        for number, pixels in enumerate(seen):
            whole = np.full((60, 60, 3), border, np.uint8)
            whole[20:40] = pixels
            Image.fromarray(whole).save(tmp_path / name / f"{number:02}.png")
        sources.append(open_source(str(tmp_path / name)))
    shape = (20, 60, channels)
    dark, _, light, _ = pixel_features(*sources, 8, 1.0, shape)
    assert dark.shape == (20, 64 * channels)
    np.testing.assert_array_equal(dark, light)
    small = np.stack([by_pillow(pixels, channels) for pixels in seen])
    np.testing.assert_allclose(dark, small - small.mean(axis=0), atol=2)


def by_pillow(pixels: np.ndarray, channels: int) -> np.ndarray:
    image = Image.fromarray(pixels if channels == 3 else to_gray(pixels))
    return np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR), np.float32).ravel()


def test_gray_pictures_have_one_channel_of_pixels():
    """Three equal channels say nothing more: same neighbors, and a probe in a third of the time."""
    train, test = (open_source("digits", split) for split in ("train", "test"))
    bank, labels, queries, wanted = pixel_features(train, test, 8, 1.0)
    assert bank.shape == (1437, 64) and queries.shape == (360, 64)
    in_color = (np.repeat(bank, 3, axis=1), labels, np.repeat(queries, 3, axis=1), wanted)
    assert (
        knn_accuracy(bank, labels, queries, wanted)["top1"] == knn_accuracy(*in_color)["top1"] > 0.9
    )


def test_neighbors_that_are_kept():
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(size=(50, 8)), rng.normal(size=(20, 8))
    turned, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    same = neighbors_kept((bank, queries), (bank @ turned * 3, queries @ turned * 3))
    assert same == {"top1": 1.0, "top5": 1.0}
    other = neighbors_kept((bank, queries), (rng.normal(size=(50, 8)), queries))
    assert other["top5"] < 0.4
