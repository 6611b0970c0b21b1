"""The paper's protocol: its schedule, and that it learns and repeats."""

from __future__ import annotations

import numpy as np
import pytest

from s2bnn_tf.data import ArraySource
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation import train_linear_probe
from s2bnn_tf.evaluation.linear_sgd import step_decay


def colored(count: int, seed: int) -> ArraySource:
    """Images of one color each, red, green or blue, with noise: separable however one crops."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = generator.integers(0, 90, (count, 8, 8, 3))
    images[np.arange(count), :, :, labels] += 120
    names = ("red", "green", "blue")
    return ArraySource("colors", "train", labels, names, images.astype(np.uint8))


@pytest.mark.parametrize(
    ("epoch", "epochs", "expected"),
    [
        (0, 100, 0.1),
        (59, 100, 0.1),
        (60, 100, 0.01),
        (79, 100, 0.01),
        (80, 100, 0.001),
        (99, 100, 0.001),
        (5, 10, 0.1),
        (6, 10, 0.01),
        (8, 10, 0.001),
        (0, 1, 0.1),
    ],
)
def test_learning_rate_falls_at_60_and_80_percent(epoch, epochs, expected):
    assert step_decay(epoch, epochs, 0.1) == pytest.approx(expected)


def test_learns_what_can_be_separated_and_tells_how(pixel_encoder):
    reported = []
    probe = train_linear_probe(
        pixel_encoder,
        colored(96, 0),
        colored(30, 1),
        epochs=5,
        batch_size=32,
        progress=lambda *step: reported.append(step),
    )
    assert probe.metrics == {"n_train": 96, "n_test": 30, "top1": 1.0, "top5": 1.0}
    expected = {
        "protocol": "paper",
        "epochs": 5,
        "batch_size": 32,
        "learning_rate": 0.1,
        "learning_rate_drops": {"at": [3, 4], "factor": 0.1},
        "momentum": 0.9,
        "weight_decay": 0.0,
    }
    assert expected.items() <= probe.parameters.items()
    assert probe.kernel.shape == (192, 3)
    assert ("linear probe of pixels", 15, 15) in reported


def test_the_same_seed_gives_the_same_probe(pixel_encoder):
    train = colored(16, 0)
    first, again, other = (
        train_linear_probe(pixel_encoder, train, train, epochs=1, seed=seed).kernel
        for seed in (3, 3, 4)
    )
    np.testing.assert_allclose(first, again, rtol=1e-5)
    assert np.abs(first - other).max() > 1e-3


def test_weights_start_small(make_encoder):
    """At learning rate zero the weights stay N(0, 0.01) and the biases 0."""
    encoder = make_encoder(image_size=32)
    train = colored(8, 0)
    probe = train_linear_probe(encoder, train, train, epochs=1, learning_rate=0.0)
    assert probe.kernel.std() == pytest.approx(0.01, rel=0.05)
    assert probe.kernel.mean() == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_array_equal(probe.bias, 0)


def test_every_epoch_sees_other_views(make_encoder):
    encoder, seen = make_encoder(), []
    encode = encoder.features
    encoder.features = lambda images: seen.append(images) or encode(images)
    train = colored(8, 0)
    train_linear_probe(encoder, train, train, epochs=2, batch_size=8)
    first, second, _ = seen
    assert np.abs(np.sort(first, axis=None) - np.sort(second, axis=None)).max() > 0


def test_divergence_is_reported_in_a_sentence(make_encoder):
    encoder = make_encoder(projection=np.full((192, 4), np.nan, np.float32))
    train = colored(8, 0)
    with pytest.raises(UserError, match="diverged in epoch 1"):
        train_linear_probe(encoder, train, train, epochs=3)
