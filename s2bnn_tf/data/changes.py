"""What happens to one large view after its crop, drawn beforehand and applied on its own.

Each view goes through only those operations that were drawn for it.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from s2bnn_tf.data import augment as ops
from s2bnn_tf.data import pixels


class Changes(NamedTuple):
    """The draws for N views, each of shape `(N, ...)`, as tensors or arrays.

    Attributes:
        jitter: bool, whether colors change.
        amounts, order: Of the color jitter, as `augment.sample_jitter` draws them, `(N, 4)`.
        gray: bool, whether the colors go.
        sigma: Of the Gaussian blur in pixels; 0 for none.
        mirror: bool, whether left and right change places.
    """

    jitter: tf.Tensor | np.ndarray
    amounts: tf.Tensor | np.ndarray
    order: tf.Tensor | np.ndarray
    gray: tf.Tensor | np.ndarray
    sigma: tf.Tensor | np.ndarray
    mirror: tf.Tensor | np.ndarray

    def of(self, view: int) -> Changes:
        """The draws for one view."""
        return Changes(*(draw[view] for draw in self))


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
        gray=chance[1] < augmentation.grayscale_probability,
        sigma=tf.where(chance[2] < augmentation.blur_probability, sigma, 0.0),
        mirror=chance[3] < augmentation.flip_probability,
    )


def change_view(image: np.ndarray, changes: Changes) -> np.ndarray:
    """Apply the changes of one view, in torchvision's order.

    Args:
        image: RGB, uint8 `(S, S, 3)`.
        changes: Arrays for this view alone.

    Returns:
        RGB, uint8 `(S, S, 3)`.
    """
    if changes.jitter:
        for operation in changes.order:
            image = pixels.JITTER[operation](image, float(changes.amounts[operation]))
    if changes.gray:
        image = pixels.to_gray(image)
    if changes.sigma > 0:
        image = pixels.blur(image, float(changes.sigma))
    return cv2.flip(image, 1) if changes.mirror else image
