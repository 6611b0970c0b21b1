"""A teacher that sees the student's views at a size of its own."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

keras = tf.keras


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class ScaleImages(keras.layers.Layer):
    """Scale images to another size, bilinearly, and antialiased where they shrink.

    Args:
        size: Height and width of the result in pixels.
        **kwargs: Any other argument of `keras.layers.Layer`.

    Input shape:  `(batch, height, width, channels)`, height and width known.
    Output shape: `(batch, *size, channels)`.
    """

    def __init__(self, size: tuple[int, int], **kwargs: Any):
        super().__init__(**kwargs)
        self.size = tuple(size)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        shrinks = any(old > new for old, new in zip(images.shape[1:3], self.size))
        scaled = tf.image.resize(images, self.size, antialias=shrinks)
        return tf.cast(scaled, self.compute_dtype)  # TensorFlow returns float32

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


def scaled_to(
    backbone: keras.Model, size: tuple[int, int], view: tuple[int, int, int]
) -> keras.Model:
    """Put a backbone for images of one size behind images of another.

    Args:
        backbone: A model from images `(B, *size, C)`.
        size: Height and width of the images that it takes, in pixels.
        view: Height, width and channels of the images that the result takes.

    Returns:
        A model from `(B, *view)` to what the backbone returns.
    """
    images = keras.Input(view, name="view")
    scaled = ScaleImages(size, name="scaled")(images)
    return keras.Model(images, backbone(scaled), name=f"{backbone.name}_scaled")
