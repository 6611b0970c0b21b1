"""Images in the normalization that a published network was trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from s2bnn_tf.data import IMAGENET_MEAN, IMAGENET_STD

keras = tf.keras


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class Renormalize(keras.layers.Layer):
    """Turn our normalized images into those of another mean and standard deviation.

    It is not folded into the first convolution, because that would change what its padding is.

    >>> Renormalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))(tf.zeros((1, 1, 1, 3))).numpy().round(3)
    array([[[[-0.03 , -0.088, -0.188]]]], dtype=float32)

    Args:
        mean: The mean of each channel, of pixels in 0..1.
        std: The standard deviation of each channel, likewise.
        **kwargs: Any other argument of `keras.layers.Layer`.

    Input shape:  `(batch, height, width, 3)`, normalized with ImageNet's mean and deviation.
    Output shape: same as the input.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], **kwargs: Any):
        super().__init__(**kwargs)
        self.mean = tuple(mean)
        self.std = tuple(std)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        scale = np.divide(IMAGENET_STD, self.std)
        shift = np.subtract(IMAGENET_MEAN, self.mean) / self.std
        return images * tf.constant(scale, images.dtype) + tf.constant(shift, images.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "std": self.std}
