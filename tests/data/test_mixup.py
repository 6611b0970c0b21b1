"""Mixed images: two of a batch each, in shares that add up."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.data import mix_images


def shares_of(count: int, seed: tuple[int, int]) -> np.ndarray:
    """The share of each image in each mixed one, which images of one bright place show."""
    images = tf.reshape(tf.eye(count), (count, 1, count, 1))
    return mix_images(images, tf.constant(seed)).numpy().reshape(count, count)


@pytest.mark.parametrize("count", [2, 3, 16])
def test_each_image_is_mixed_with_another_one(count):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(count, 4, 5, 3)).astype(np.float32)
    turns = set()
    for step in range(8):
        shares = shares_of(count, (3, step))
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
        own = np.diag(shares)
        partners = [int(np.argmax(np.delete(row, i))) for i, row in enumerate(shares)]
        partners = [p + (p >= i) for i, p in enumerate(partners)]
        assert sorted(partners) == list(range(count))  # each is the partner of one
        turns.add(partners[0])
        slow = np.stack(
            [own[i] * images[i] + (1 - own[i]) * images[partners[i]] for i in range(count)]
        )
        mixed = mix_images(tf.constant(images), tf.constant((3, step)))
        np.testing.assert_allclose(mixed, slow, atol=1e-5)
    assert len(turns) == 1 if count == 2 else len(turns) > 1


def test_shares_are_even_and_a_seed_repeats_them():
    shares = np.concatenate([np.diag(shares_of(64, (0, step))) for step in range(16)])
    np.testing.assert_allclose(np.quantile(shares, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.05)
    np.testing.assert_array_equal(shares_of(8, (1, 2)), shares_of(8, (1, 2)))
    assert np.abs(shares_of(8, (1, 2)) - shares_of(8, (1, 3))).max() > 0.01
    assert np.abs(shares_of(8, (1, 2)) - shares_of(8, (2, 2))).max() > 0.01
