"""Flip rates and dead channels against counting by hand."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.training import pretrain
from s2bnn_tf.training.binary_health import BinaryHealth, DeadChannels, SignFlips, frozen_layers

keras = tf.keras


@pytest.fixture
def model() -> keras.Model:
    """Build two binary layers, one of them with real weights, and a real layer."""
    image = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(5, 1)(image)
    x = BinaryConv2D(7, 3, name="binary")(x)
    return keras.Model(image, BinaryConv2D(4, 1, binarize_weights=False, name="half")(x))


def test_flips_are_counted_by_layer(model):
    kernel = model.get_layer("binary").kernel
    rng = np.random.default_rng(0)
    before = rng.normal(size=kernel.shape)  # 315 weights, not a multiple of eight
    kernel.assign(before)
    flips = SignFlips(model)
    assert flips.rates() == {"binary": 0.0}
    after = rng.normal(size=kernel.shape)
    after[0, 0, 0, 0] = 0.0  # counts as positive, as in the layer
    kernel.assign(after)
    expected = np.mean((before >= 0) != (after >= 0))
    assert flips.rates() == {"binary": pytest.approx(expected)}
    flips.begin()
    assert flips.rates() == {"binary": 0.0}


def test_dead_channels_carry_one_bit_everywhere(model):
    images = tf.random.stateless_normal((4, 6, 6, 3), seed=[0, 0])
    layer = model.get_layer("binary")
    assert DeadChannels(model).count(images)["binary"] == 0
    layer.input_quantizer.bias.assign([0.0, 99.0, 0.0, -99.0, 0.0])
    counts = DeadChannels(model).count(images)
    assert counts["binary"] == 2
    assert counts.keys() == {"binary", "half"}


def test_a_run_logs_them_and_warns_of_a_layer_that_no_longer_flips(
    contrast, change, tmp_path, metrics, caplog
):
    still = change(
        contrast,
        epochs=1,
        student={"binarize_weights": True},
        optimizer={"learning_rate": 1e-12, "weight_decay": 0.0},
    )
    with caplog.at_level(logging.WARNING):
        (row,) = metrics(pretrain(still, tmp_path))
    (name,) = row["flip_rates"]
    assert row["flip_rate"] == 0.0
    assert f"No sign flipped in epoch 1 in: {name}" in caplog.text
    assert caplog.text.count("No sign flipped") == 1
    assert row["dead_channels"] == row["dead_channels_by_layer"][name]


def test_a_layer_is_warned_of_where_standing_still_is_no_chance():
    sizes = {"small": 256, "large": 100_000, "other": 100_000}
    assert frozen_layers({"small": 0.0, "large": 0.01, "other": 0.01}, sizes) == []
    assert frozen_layers({"small": 0.0, "large": 0.0, "other": 0.01}, sizes) == ["large"]
    nothing = dict.fromkeys(sizes, 0.0)
    assert frozen_layers(nothing, sizes) == list(sizes), "nothing flips anywhere"


@pytest.mark.parametrize(("rate", "times"), [(1e-3, 1), (1e-5, 0)])
def test_it_is_said_once_and_not_at_the_end_of_a_schedule(model, rate, times, caplog):
    """The signs of a network that nobody trains stand still."""
    model.learning_rate = lambda: rate
    model.steps_done = lambda: 5
    model.student_to_read = lambda: SimpleNamespace(backbone=model)
    health = BinaryHealth(
        SignFlips(model),
        lambda: tf.zeros((2, 6, 6, 3)),
        learning_rate=1e-3,
        steps_per_epoch=5,
        epoch_begun=False,
    )
    health.set_model(model)
    for epoch in range(3):
        health.on_epoch_begin(epoch, {})
        health.on_epoch_end(epoch, {})
    assert caplog.text.count("No sign flipped") == times
