"""The random changes of one large view after its crop, drawn first and applied to it alone.

Each view goes through only those operations that were drawn for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data import augment as ops
from s2bnn_tf.data import pixels


class Changes(NamedTuple):
    """The draws for N views, each of shape `(N, ...)`, as tensors or arrays.

    Attributes:
        jitter: bool, whether the colors change.
        amounts: The amounts of the color jitter `(N, 4)`, as `augment.sample_jitter` draws them.
        order: The order of its operations `(N, 4)`, from the same function.
        gray: bool, whether the view becomes gray.
        sigma: The standard deviation of the Gaussian blur in pixels; 0 for none.
        mirror: bool, whether left and right are exchanged.
    """

    jitter: tf.Tensor | NDArray[Any]
    amounts: tf.Tensor | NDArray[Any]
    order: tf.Tensor | NDArray[Any]
    gray: tf.Tensor | NDArray[Any]
    sigma: tf.Tensor | NDArray[Any]
    mirror: tf.Tensor | NDArray[Any]

    def of(self, view: int) -> Changes:
        """Return the draws for one view."""
        return Changes(*(draw[view] for draw in self))


def sample_changes(count: int, augmentation: ops.Augmentation, seed: tf.Tensor) -> Changes:
    """Draw the changes of `count` views with the probabilities of an `Augmentation`."""
    seeds = tf.unstack(tf.random.split(seed, 3), axis=0)
    chance = tf.unstack(tf.random.stateless_uniform((4, count), seeds[0]))
    amounts, order = ops.sample_jitter(count, seeds[1])
    sigma = tf.random.stateless_uniform((count,), seeds[2], *ops.BLUR_SIGMA)
    return Changes(
        jitter=chance[0] < augmentation.jitter_probability,
        amounts=amounts,
        order=order,
        gray=chance[1] < augmentation.grayscale_probability,
        sigma=tf.where(chance[2] < augmentation.blur_probability, sigma, 0.0),
        mirror=chance[3] < augmentation.flip_probability,
    )


def change_view(image: pixels.Pixels, changes: Changes) -> pixels.Pixels:
    """Apply the changes of one view, in torchvision's order.

    Args:
        image: RGB, uint8 `(H, W, 3)`, or gray `(H, W)`, which has no hue, no saturation, and
            no colors to lose.
        changes: The draws for this view alone, as arrays.

    Returns:
        uint8, of the same shape.
    """
    if changes.jitter:
        for operation in changes.order:
            image = pixels.JITTER[operation](image, float(changes.amounts[operation]))
    if changes.gray:
        image = pixels.to_gray(image)
    if changes.sigma > 0:
        image = pixels.blur(image, float(changes.sigma))
    return cv2.flip(image, 1) if changes.mirror else image
