"""Every image is encoded once, in order; what cannot be read does not shift the labels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.data import open_source
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation import extract_features
from s2bnn_tf.evaluation.features import readable


@pytest.mark.parametrize("batch_size", [7, 64, 1000])
def test_each_image_once_and_in_order(batch_size, make_encoder):
    encoder = make_encoder(image_size=32)
    source = open_source("digits", "test").select(np.arange(100))
    reported = []
    features, labels = extract_features(
        encoder, source, batch_size=batch_size, progress=lambda *step: reported.append(step)
    )
    expected = source.images.reshape(100, -1) / 255 - 0.5
    np.testing.assert_allclose(features, expected, atol=1e-4)
    np.testing.assert_array_equal(labels, source.labels)
    assert reported[-1] == ("pixels: digits test", 100, 100)


def test_the_embedding_can_be_asked_for(pixel_encoder):
    source = open_source("digits", "test").select(np.arange(5))
    features, _ = extract_features(pixel_encoder, source, output="embedding")
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)


def test_a_damaged_file_takes_its_label_with_it(tmp_path, pixel_encoder):
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "test" / name).mkdir(parents=True)
        for i in range(4):
            pixels = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            for split in ("train", "test"):
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    damaged = tmp_path / "train" / "a" / "2.png"
    damaged.write_bytes(damaged.read_bytes()[:80])
    source = open_source(f"folder:{tmp_path}", "train")
    features, labels = extract_features(pixel_encoder, source)
    kept = readable(source)
    assert len(features) == len(labels) == len(kept) == 7
    np.testing.assert_array_equal(labels, [0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(kept.labels, labels)
    for i, row in enumerate(features):
        np.testing.assert_allclose(row, kept.read(i).ravel() / 255 - 0.5, atol=1e-4)


def test_a_diverged_encoder_is_reported_in_a_sentence(make_encoder):
    encoder = make_encoder(projection=np.full((192, 4), np.nan, np.float32))
    source = open_source("digits", "test").select(np.arange(5))
    with pytest.raises(UserError, match="not finite"):
        extract_features(encoder, source)
