"""Mixed images: what both a teacher and its student are shown instead of single ones."""

from __future__ import annotations

import tensorflow as tf


def mix_images(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mix each image of a batch with another one of it (mixup, without labels).

    `y_i = s_i x_i + (1 - s_i) x_p(i)`, with a share s_i drawn evenly from 0 to 1 for each image,
    and p a rotation of the batch by a random number of places, so that no image meets itself.
    A teacher that sees the same mixed image says what there is to learn of it, which is why the
    whole range of shares helps and no label has to be mixed.

    >>> mix_images(tf.ones((2, 1, 1, 3)), seed=tf.constant([0, 1])).numpy().ravel()
    array([1., 1., 1., 1., 1., 1.], dtype=float32)

    Args:
        images: `(B, H, W, C)`, floating-point, B at least 2.
        seed: Two integers; the same ones mix in the same way.

    Returns:
        The mixed images, like `images`.

    References:
        Mixup, https://arxiv.org/abs/1710.09412; as images for distillation, Beyer et al.,
        https://arxiv.org/abs/2106.05237, section 3.1.
    """
    count = tf.shape(images)[0]
    shares = tf.random.stateless_uniform([count, 1, 1, 1], seed, dtype=images.dtype)
    turn = tf.random.stateless_uniform([], seed, 1, tf.maximum(count, 2), dtype=tf.int32)
    return shares * images + (1 - shares) * tf.roll(images, turn, axis=0)
