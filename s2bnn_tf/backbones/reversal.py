"""The image turned by 180 degrees: what kernels that come from PyTorch expect."""

from __future__ import annotations

import tensorflow as tf

keras = tf.keras


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class ReverseImage(keras.layers.Layer):
    """Turn images by 180 degrees: both axes reversed.

    On an even number of pixels a convolution of stride 2 needs one line of padding.
    PyTorch's symmetric padding puts it above and left, TensorFlow's `same` below and
    right. A network whose kernels are all turned by 180 degrees computes on a turned
    image what PyTorch computes on the image itself, turned; so one reversal at the input
    replaces explicit padding, which Larq Compute Engine does not convert for binary
    convolutions.

    >>> ReverseImage()(tf.reshape(tf.range(4.0), (1, 2, 2, 1)))[0, :, :, 0].numpy()
    array([[3., 2.],
           [1., 0.]], dtype=float32)

    Input shape:  `(batch, height, width, channels)`, height and width known.
    Output shape: same as the input.
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        # One axis after the other: of two at once, TensorFlow Lite 2.14 reverses the wrong ones
        # without a word.
        return tf.reverse(tf.reverse(images, axis=[1]), axis=[2])
