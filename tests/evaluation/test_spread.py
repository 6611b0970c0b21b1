"""The spread of features: rank, alignment and uniformity, and what is said of a collapse."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config, DataConfig
from s2bnn_tf.data import open_source
from s2bnn_tf.evaluation import alignment, effective_rank, spread_monitor, uniformity


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_effective_rank(rank):
    """Of a matrix with equal singular values it is their number, by any rotation."""
    rng = np.random.default_rng(1)
    left, _ = np.linalg.qr(rng.normal(size=(40, rank)))
    right, _ = np.linalg.qr(rng.normal(size=(8, rank)))
    assert effective_rank(5 * left @ right.T) == pytest.approx(rank, rel=1e-3)


@pytest.mark.parametrize(("count", "dim"), [(2, 3), (17, 5), (40, 64)])
def test_alignment_and_uniformity_are_those_of_the_paper(count, dim):
    rng = np.random.default_rng(count)
    first, second = rng.normal(size=(2, count, dim)).astype(np.float32) * 7 + 1
    units = [[row / math.sqrt(sum(row**2)) for row in rows] for rows in (first, second)]
    aligned = [sum((a - b) ** 2) for a, b in zip(*units)]
    even = [
        math.exp(-2 * sum((a - b) ** 2))
        for i, a in enumerate(units[0])
        for j, b in enumerate(units[0])
        if i != j
    ]
    assert alignment(first, second) == pytest.approx(np.mean(aligned), rel=1e-4)
    assert uniformity(first) == pytest.approx(math.log(np.mean(even)), rel=1e-4)


def test_the_extremes():
    same = np.ones((5, 4), np.float32)
    assert uniformity(same) == pytest.approx(0, abs=1e-5)
    assert alignment(same, -3 * same) == pytest.approx(4, rel=1e-5)
    # Two opposite halves: nearly half of the pairs are equal, the others as far as can be.
    halves = np.concatenate([same, -same])
    assert uniformity(halves) == pytest.approx(math.log(4 / 9 + 5 / 9 * math.exp(-8)), rel=1e-4)


@pytest.fixture
def config() -> Config:
    return Config(data=DataConfig(source="digits", image_size=8, batch_size=64))


def encoder(scale: float) -> Encoder:
    """Features that are random projections of the pixels, beside a constant."""
    image = tf.keras.Input((8, 8, 3))
    rng = np.random.default_rng(0)
    kernel = tf.constant(scale * rng.normal(size=(192, 16)), tf.float32)
    features = tf.matmul(tf.keras.layers.Flatten()(image), kernel) + 1.0
    return Encoder(tf.keras.Model(image, features))


def test_a_collapse_is_explained_once(config, caplog):
    monitor = spread_monitor(config)
    with caplog.at_level(logging.WARNING, logger="s2bnn_tf"):
        healthy = monitor(encoder(1.0))
        assert not caplog.records
        collapsed = monitor(encoder(1e-5))
        monitor(encoder(1e-5))
    (record,) = caplog.records
    message = record.getMessage()
    assert "1024 images use 1.0 of 16 dimensions" in message and "collapsed" in message
    assert healthy["rankme"] > 4 > 2 > collapsed["rankme"]
    assert healthy["uniformity"] < -0.5 < -0.01 < collapsed["uniformity"] <= 0
    assert healthy["alignment"] > 0.1 > 0.001 > collapsed["alignment"] >= 0


def test_the_views_are_the_same_each_time_and_of_few_images_all(config, caplog, tmp_path):
    monitor = spread_monitor(config)
    assert monitor(encoder(1.0)) == monitor(encoder(1.0))
    for number in range(5):
        pixels = open_source("digits").read(number)
        (tmp_path / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    few = Config(data=DataConfig(source=f"folder:{tmp_path}", image_size=8, batch_size=2))
    assert 1 < spread_monitor(few)(encoder(1.0))["rankme"] <= 5
