"""The cache returns exactly what the encoder would return now."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.data import open_source
from s2bnn_tf.evaluation import extract_features
from s2bnn_tf.evaluation.feature_cache import FeatureCache


@pytest.fixture
def counting(pixel_encoder, monkeypatch):
    """An encoder that counts the images it encodes."""
    pixel_encoder.seen = 0
    encode = pixel_encoder.features

    def features(images):
        pixel_encoder.seen += len(images)
        return encode(images)

    monkeypatch.setattr(pixel_encoder, "features", features)
    return pixel_encoder


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"weights")
    return path


def digits(count):
    return open_source("digits", "test").select(np.arange(count))


def test_the_second_time_nothing_is_encoded(counting, network):
    expected = extract_features(counting, digits(20))
    counting.seen = 0
    for encoded in (20, 20):  # a new cache each time, as in a new process
        found = FeatureCache(network).extract(counting, digits(20))
        assert counting.seen == encoded
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_a_change_of_features_encodes_again(counting, network):
    cache = FeatureCache(network)
    cache.extract(counting, digits(20))
    cache.extract(counting, digits(19))
    assert counting.seen == 39, "other images"
    counting.center_crop = 0.5
    cache.extract(counting, digits(20))
    assert counting.seen == 59, "another crop"
    embedding, _ = cache.extract(counting, digits(20), output="embedding")
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)
    counting.seen = 0
    network.write_bytes(b"other weights")
    FeatureCache(network).extract(counting, digits(20))
    assert counting.seen == 20
    assert len(list(cache.directory.iterdir())) == 1, "those of the earlier weights are gone"


def test_a_run_is_known_by_its_weights(counting, tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0")
    (tmp_path / "encoder.weights.h5").write_bytes(b"one")
    first = FeatureCache(tmp_path)
    (tmp_path / "encoder.weights.h5").write_bytes(b"two")
    assert FeatureCache(tmp_path).network != first.network


def test_a_damaged_file_is_written_again(counting, network):
    cache = FeatureCache(network)
    cache.extract(counting, digits(20))
    (file,) = cache.directory.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    found, _ = cache.extract(counting, digits(20))
    assert counting.seen == 40
    assert found.shape == (20, counting.feature_dim)


def test_unreadable_images_are_remembered(counting, network, tmp_path):
    folder = tmp_path / "photos"
    for split in ("train", "test"):
        for name in ("a", "b"):
            (folder / split / name).mkdir(parents=True)
            for i in range(3):
                pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    damaged = folder / "train" / "a" / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:80])
    sources = [open_source(f"folder:{folder}", "train") for _ in range(2)]
    (first, labels), (second, again) = (
        FeatureCache(network).extract(counting, source) for source in sources
    )
    assert counting.seen == 5
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(labels, again)
    assert sources[1].unreadable == sources[0].unreadable
    assert list(sources[1].unreadable) == [str(damaged)]


def test_a_directory_that_cannot_be_written_costs_only_time(counting, network, caplog):
    network.with_suffix(".eval").write_text("a file where the directory should be")
    features, _ = FeatureCache(network).extract(counting, digits(5))
    assert len(features) == 5
    assert "not kept" in caplog.text


def test_only_files_of_the_cache_are_removed(counting, network, tmp_path):
    """As for a directory from elsewhere, in which features/ holds other people's arrays."""
    foreign = network.with_suffix(".eval") / "features" / "thesis.npz"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"precious")
    FeatureCache(network).extract(counting, digits(20))
    assert foreign.read_bytes() == b"precious"
