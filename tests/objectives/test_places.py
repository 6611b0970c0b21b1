"""The losses about maps against slow NumPy loops, and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.objectives import places_loss, signs_loss

pytestmark = pytest.mark.both_sets


def maps(batch: int, places: int, channels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, places, channels)).astype(np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def shares(place: int, image: np.ndarray, temperature: float) -> dict[int, float]:
    """How similar one place is to each other place of an image, as a distribution."""
    powers = {
        other: math.exp(cosine(image[place], image[other]) / temperature)
        for other in range(len(image))
        if other != place
    }
    return {other: power / sum(powers.values()) for other, power in powers.items()}


def slow_places(places, target, temperature, teacher_temperature) -> float:
    total, count = 0.0, 0
    for ours, theirs in zip(places.astype(np.float64), target.astype(np.float64), strict=True):
        for place in range(len(ours)):
            q = shares(place, ours, temperature)
            p = shares(place, theirs, teacher_temperature)
            total += sum(p[other] * math.log(p[other] / q[other]) for other in p)
            count += 1
    return total / count


def slow_signs(places, target) -> float:
    thresholds = [float(np.mean(target[:, :, c])) for c in range(target.shape[2])]
    total = 0.0
    for ours, theirs in zip(places, target, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            length = math.sqrt(float(a @ a))
            bits = [-1 if x < m else 1 for x, m in zip(b, thresholds, strict=True)]
            pairs = zip(a, bits, strict=True)
            total += sum((x / length - bit / math.sqrt(len(bits))) ** 2 for x, bit in pairs)
    return total / (places.shape[0] * places.shape[1])


@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.2, 0.05)])
@pytest.mark.parametrize(("batch", "count"), [(1, 2), (3, 9)])
def test_similarity_between_places(batch, count, temperatures):
    """The networks may differ in channels."""
    places, target = maps(batch, count, 5, 0), maps(batch, count, 7, 1)
    loss = places_loss(places, target, *temperatures)
    assert loss.shape == () and loss.dtype == tf.float32
    expected = slow_places(places, target, *temperatures)
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("batch", "count", "channels"), [(1, 2, 3), (4, 6, 5)])
def test_signs(batch, count, channels):
    places = maps(batch, count, channels, 0)
    target = np.maximum(maps(batch, count, channels, 1), 0)  # as after a rectifier
    loss = signs_loss(places, target)
    assert loss.shape == () and loss.dtype == tf.float32
    np.testing.assert_allclose(loss, slow_signs(places, target), rtol=1e-4)


def test_a_map_whose_places_are_as_similar_loses_nothing():
    """A rotation of the channels and a factor leave the cosines as they are."""
    target = maps(2, 6, 4, 0)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    turned = (3 * target @ rotation).astype(np.float32)
    np.testing.assert_allclose(places_loss(turned, target, 0.1), 0, atol=1e-5)
    assert places_loss(maps(2, 6, 4, 2), target, 0.1) > 0.1


@pytest.mark.parametrize("loss", [lambda *m: places_loss(*m, 0.3, 0.1), signs_loss])
def test_the_gradient_is_that_of_finite_differences_and_spares_the_target(loss):
    places, target = (tf.constant(maps(2, 4, 3, seed), tf.float64) for seed in (0, 1))
    with tf.GradientTape() as tape:
        tape.watch([places, target])
        value = loss(places, target)
    slope, none = tape.gradient(value, [places, target])
    assert none is None
    step = 1e-6
    for place in ((0, 0, 0), (1, 3, 2), (1, 2, 1)):
        moved = places.numpy()
        moved[place] += step
        expected = (float(loss(moved, target)) - float(value)) / step
        np.testing.assert_allclose(slope[place], expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("loss", [lambda *m: places_loss(*m, 0.05), signs_loss])
def test_half_precision_and_dead_places_give_finite_losses(loss):
    places, target = maps(2, 4, 3, 0), maps(2, 4, 3, 1)
    places[0] = 0
    assert np.isfinite(loss(places.astype(np.float16), target))


def test_maps_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="place by place"):
        places_loss(maps(2, 4, 3, 0), maps(2, 5, 3, 0), 1.0)
    with pytest.raises(ValueError, match="place by place"):
        signs_loss(maps(2, 4, 3, 0), maps(2, 4, 5, 0))
    with pytest.raises(ValueError, match="two places at least"):
        places_loss(maps(2, 1, 3, 0), maps(2, 1, 3, 0), 1.0)
    with pytest.raises(ValueError, match=r"shape \(B, P, C\)"):
        signs_loss(maps(2, 4, 3, 0)[0], maps(2, 4, 3, 0))
    with pytest.raises(ValueError, match="temperature"):
        places_loss(maps(2, 4, 3, 0), maps(2, 4, 3, 0), 0.0)
