"""What happens to one large view after its crop, drawn beforehand and applied on its own.

A large image fills the processor's cache by itself: here each goes through only those operations
that were drawn for it. For batches of small images `augment` is faster.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from s2bnn_tf.data import augment as ops


class Changes(NamedTuple):
    """The draws for N views, each of shape `(N, ...)`.

    Attributes:
        jitter: bool, whether colours change.
        amounts, order: Of the colour jitter, as `augment.sample_jitter` draws them, `(N, 4)`.
        grey: bool, whether the colours go.
        sigma: Of the Gaussian blur in pixels; 0 for none.
        mirror: bool, whether left and right change places.
    """

    jitter: tf.Tensor
    amounts: tf.Tensor
    order: tf.Tensor
    grey: tf.Tensor
    sigma: tf.Tensor
    mirror: tf.Tensor


def sample_changes(count: int, augmentation, seed: tf.Tensor) -> Changes:
    """Draw the changes of `count` views with the probabilities of an `Augmentation`."""
    seeds = tf.unstack(tf.random.split(seed, 3), axis=0)
    chance = tf.unstack(tf.random.stateless_uniform((4, count), seeds[0]))
    amounts, order = ops.sample_jitter(count, seeds[1])
    sigma = tf.random.stateless_uniform((count,), seeds[2], *ops.BLUR_SIGMA)
    return Changes(
        jitter=chance[0] < augmentation.jitter_probability,
        amounts=amounts,
        order=order,
        grey=chance[1] < augmentation.grayscale_probability,
        sigma=tf.where(chance[2] < augmentation.blur_probability, sigma, 0.0),
        mirror=chance[3] < augmentation.flip_probability,
    )


def change_view(image: tf.Tensor, changes: Changes) -> tf.Tensor:
    """Apply its changes to one crop, RGB 0-255 `(S, S, 3)`, and normalise it, float32."""
    x = tf.cast(image, tf.float32)
    x = tf.cond(changes.jitter, lambda: _jitter(x, changes.amounts, changes.order), lambda: x)
    x = tf.cond(changes.grey, lambda: ops.to_grey(x), lambda: x)
    x = tf.cond(changes.sigma > 0, lambda: _blur(x, changes.sigma), lambda: x)
    x = tf.cond(changes.mirror, lambda: tf.reverse(x, axis=[1]), lambda: x)
    return ops.normalize(x[tf.newaxis])[0]


def _jitter(image: tf.Tensor, amounts: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """The four operations of the colour jitter in their order, clipped after each."""
    weights, size = tf.constant(ops.GREY_WEIGHTS), image.shape[0]

    def brightness(x, amount):
        return tf.minimum(x * amount, 255.0)

    def contrast(x, amount):
        columns = tf.reduce_mean(tf.reshape(x, (size, 3 * size)), axis=0)
        mean = tf.reduce_sum(columns * tf.tile(weights, [size])) / size
        return tf.clip_by_value(x * amount + (1 - amount) * mean, 0.0, 255.0)

    def saturation(x, amount):
        # One matrix: each channel moves away from, or towards, the grey of its pixel.
        matrix = amount * tf.eye(3) + (1 - amount) * tf.tile(weights[:, tf.newaxis], (1, 3))
        return tf.clip_by_value(tf.tensordot(x, matrix, 1), 0.0, 255.0)

    operations = (brightness, contrast, saturation, tf.image.adjust_hue)
    for turn in range(4):
        amount = amounts[order[turn]]
        image = tf.switch_case(
            order[turn],
            [lambda f=f, x=image, a=amount: f(x, a) for f in operations],
        )
    return image


def _blur(image: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """A Gaussian over the rows and one over the columns, cut off beyond three sigmas."""
    reach = tf.cast(tf.math.ceil(3 * sigma), tf.int32)
    weights = tf.exp(-0.5 * tf.square(tf.cast(tf.range(-reach, reach + 1), tf.float32) / sigma))
    weights /= tf.reduce_sum(weights)
    return _filter_rows(_filter_rows(image, weights, reach), weights, reach)


def _filter_rows(image: tf.Tensor, weights: tf.Tensor, reach: tf.Tensor) -> tf.Tensor:
    """Filter along the first axis, `(S, S, 3)`, and exchange the first two."""
    size = image.shape[0]
    # A row of numbers as channels: the fastest way over memory.
    padded = tf.pad(tf.reshape(image, (size, 3 * size)), [[reach, reach], [0, 0]], "REFLECT")
    kernel = tf.tile(weights[:, tf.newaxis, tf.newaxis, tf.newaxis], (1, 1, 3 * size, 1))
    filtered = tf.nn.depthwise_conv2d(
        padded[tf.newaxis, :, tf.newaxis], kernel, (1, 1, 1, 1), "VALID"
    )
    return tf.transpose(tf.reshape(filtered, image.shape), (1, 0, 2))
