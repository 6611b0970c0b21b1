"""Changes of one view against the operations on batches, which are tested against Pillow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.data import Augmentation
from s2bnn_tf.data import augment as ops
from s2bnn_tf.data.changes import Changes, change_view, sample_changes

NOTHING = Changes(
    jitter=tf.constant(False),
    amounts=tf.constant([1.0, 1.0, 1.0, 0.0]),
    order=tf.constant([0, 1, 2, 3]),
    grey=tf.constant(False),
    sigma=tf.constant(0.0),
    mirror=tf.constant(False),
)


@pytest.fixture(scope="module")
def image() -> tf.Tensor:
    """Strong colours, with values at both ends, as a JPEG has them."""
    noise = np.random.default_rng(0).normal(size=(24, 24, 3))
    return tf.constant(np.clip(128 + 90 * noise, 0, 255), tf.uint8)


@pytest.fixture(scope="module")
def change():
    return tf.function(change_view)


def batch(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(image, tf.float32)[tf.newaxis]


def assert_is(view: tf.Tensor, images: tf.Tensor, atol: float = 2e-3) -> None:
    np.testing.assert_allclose(view, ops.normalize(images)[0], atol=atol)


def test_nothing_but_normalised(image, change):
    assert_is(change(image, NOTHING), batch(image))


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_jitter_in_every_order(order, image, change):
    amounts, order = tf.constant([1.3, 0.7, 1.4, 0.08]), tf.constant(order)
    view = change(image, NOTHING._replace(jitter=tf.constant(True), amounts=amounts, order=order))
    assert_is(view, ops.apply_jitter(batch(image), amounts[tf.newaxis], order[tf.newaxis]))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.4, 2.0])
def test_the_blur_is_the_gaussian_but_for_its_far_ends(sigma, image, change):
    view = change(image, NOTHING._replace(sigma=tf.constant(sigma)))
    assert_is(view, ops.blur_by(batch(image), tf.constant([sigma])), atol=0.02)


def test_grey_and_mirrored(image, change):
    grey = change(image, NOTHING._replace(grey=tf.constant(True)))
    assert_is(grey, ops.to_grey(batch(image)))
    mirrored = change(image, NOTHING._replace(mirror=tf.constant(True)))
    assert_is(mirrored, batch(image)[:, :, ::-1])


def test_they_come_in_torchvisions_order(image, change):
    everything = NOTHING._replace(
        jitter=tf.constant(True),
        amounts=tf.constant([1.2, 0.8, 1.3, -0.05]),
        grey=tf.constant(True),
        sigma=tf.constant(1.0),
        mirror=tf.constant(True),
    )
    x = ops.apply_jitter(batch(image), everything.amounts[tf.newaxis], tf.constant([[0, 1, 2, 3]]))
    x = ops.blur_by(ops.to_grey(x), tf.constant([1.0]))[:, :, ::-1]
    assert_is(change(image, everything), x, atol=0.02)


def test_draws_have_their_probabilities_and_ranges():
    augmentation = Augmentation((0.2, 1.0), 0.6, 0.3, 0.2, 0.5)
    drawn = sample_changes(4000, augmentation, tf.constant([1, 2]))
    shares = [np.mean(x) for x in (drawn.jitter, drawn.grey, drawn.sigma > 0, drawn.mirror)]
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.2, 0.5], atol=0.03)
    sigma = drawn.sigma[drawn.sigma > 0].numpy()
    assert 0.1 <= sigma.min() < 0.2 and 1.9 < sigma.max() <= 2.0
    assert drawn.amounts.shape == (4000, 4)
    joint = np.mean(drawn.jitter.numpy() & drawn.mirror.numpy())  # drawn independently
    np.testing.assert_allclose(joint, 0.3, atol=0.03)
