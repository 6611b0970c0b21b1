"""The image rotated by 180 degrees, as kernels imported from PyTorch expect it."""

from __future__ import annotations

import tensorflow as tf

keras = tf.keras


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class ReverseImage(keras.layers.Layer):
    """Rotate images by 180 degrees, by reversing both axes.

    On an even number of pixels, a convolution of stride 2 needs one line of padding. With
    PyTorch's symmetric padding it is above and to the left, with TensorFlow's `same` below
    and to the right. If all kernels and the image are rotated by 180 degrees, the network
    computes PyTorch's maps, rotated. One reversal at the input therefore replaces explicit
    padding, which Larq Compute Engine does not convert for binary convolutions.

    >>> ReverseImage()(tf.reshape(tf.range(4.0), (1, 2, 2, 1)))[0, :, :, 0].numpy()
    array([[3., 2.],
           [1., 0.]], dtype=float32)

    Input shape:  `(batch, height, width, channels)`, height and width known.
    Output shape: same as the input.
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        # One axis at a time: given two at once, TensorFlow Lite 2.14 silently reverses the wrong
        # ones.
        return tf.reverse(tf.reverse(images, axis=[1]), axis=[2])
