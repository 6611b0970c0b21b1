"""Changes of one view against the operations on batches, which are tested against torchvision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.data import Augmentation
from s2bnn_tf.data import augment as ops
from s2bnn_tf.data.changes import Changes, change_view, sample_changes

NOTHING = Changes(
    jitter=np.array(False),
    amounts=np.array([1.0, 1.0, 1.0, 0.0], np.float32),
    order=np.array([0, 1, 2, 3]),
    gray=np.array(False),
    sigma=np.array(0.0, np.float32),
    mirror=np.array(False),
)
TRUE = np.array(True)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Strong colors, with values at both ends, as a JPEG has them."""
    noise = np.random.default_rng(0).normal(size=(24, 24, 3))
    return np.clip(128 + 90 * noise, 0, 255).astype(np.uint8)


def batch(image: np.ndarray) -> tf.Tensor:
    return tf.cast(image, tf.float32)[tf.newaxis]


def assert_is(view: np.ndarray, images: tf.Tensor, levels: float) -> None:
    """The same but for the rounding to bytes after each operation."""
    assert view.dtype == np.uint8
    np.testing.assert_allclose(view, images[0], atol=levels + 0.01)


def test_nothing(image):
    np.testing.assert_array_equal(change_view(image, NOTHING), image)


@pytest.mark.parametrize("operation", range(4))
def test_each_operation_of_the_jitter(operation, image):
    for amount in (-0.1, -0.03, 0.1) if operation == ops.HUE else (0.6, 0.9, 1.4):
        amounts = NOTHING.amounts.copy()
        amounts[operation] = amount
        view = change_view(image, NOTHING._replace(jitter=TRUE, amounts=amounts))
        assert_is(view, ops.apply_jitter(batch(image), amounts[None], NOTHING.order[None]), 0.75)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_jitter_in_every_order(order, image):
    amounts, order = np.array([1.3, 0.7, 1.4, 0.08], np.float32), np.array(order)
    view = change_view(image, NOTHING._replace(jitter=TRUE, amounts=amounts, order=order))
    expected = ops.apply_jitter(batch(image), amounts[None], order[None])
    assert_is(view, expected, 5)
    assert np.abs(view - expected[0]).mean() < 0.6


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.4, 2.0])
def test_the_blur_is_the_gaussian_but_for_its_far_ends(sigma, image):
    view = change_view(image, NOTHING._replace(sigma=np.array(sigma)))
    assert_is(view, ops.blur_by(batch(image), tf.constant([sigma])), 1)


def test_gray_and_mirrored(image):
    assert_is(change_view(image, NOTHING._replace(gray=TRUE)), ops.to_gray(batch(image)), 0.6)
    mirrored = change_view(image, NOTHING._replace(mirror=TRUE))
    np.testing.assert_array_equal(mirrored, image[:, ::-1])


def test_they_come_in_torchvisions_order(image):
    everything = NOTHING._replace(
        jitter=TRUE,
        amounts=np.array([1.2, 0.8, 1.3, -0.05], np.float32),
        gray=TRUE,
        sigma=np.array(1.0),
        mirror=TRUE,
    )
    x = ops.apply_jitter(batch(image), everything.amounts[None], everything.order[None])
    x = ops.blur_by(ops.to_gray(x), tf.constant([1.0]))[:, :, ::-1]
    assert_is(change_view(image, everything), x, 2)


def test_draws_have_their_probabilities_and_ranges():
    augmentation = Augmentation((0.2, 1.0), 0.6, 0.3, 0.2, 0.5)
    drawn = sample_changes(4000, augmentation, tf.constant([1, 2]))
    shares = [np.mean(x) for x in (drawn.jitter, drawn.gray, drawn.sigma > 0, drawn.mirror)]
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.2, 0.5], atol=0.03)
    sigma = drawn.sigma[drawn.sigma > 0].numpy()
    assert 0.1 <= sigma.min() < 0.2 and 1.9 < sigma.max() <= 2.0
    assert drawn.amounts.shape == (4000, 4)
    joint = np.mean(drawn.jitter.numpy() & drawn.mirror.numpy())  # drawn independently
    np.testing.assert_allclose(joint, 0.3, atol=0.03)
