"""A teacher that sees the student's views at a size of its own."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

keras = tf.keras


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class ScaleImages(keras.layers.Layer):
    """Scale images to another size, bilinearly, and antialiased where they shrink.

    Where the aspect differs, the largest centered part of that aspect is scaled, or all of it.

    Args:
        size: Height and width of the result in pixels.
        squash: Whether all of the image is scaled.
        **kwargs: Any other argument of `keras.layers.Layer`.

    Input shape:  `(batch, height, width, channels)`, height and width known.
    Output shape: `(batch, *size, channels)`.
    """

    def __init__(self, size: tuple[int, int], squash: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = tuple(size)
        self.squash = squash

    def call(self, images: tf.Tensor) -> tf.Tensor:
        if not self.squash:
            images = _center(images, self.size)
        shrinks = any(old > new for old, new in zip(images.shape[1:3], self.size))
        scaled = tf.image.resize(images, self.size, antialias=shrinks)
        return tf.cast(scaled, self.compute_dtype)  # TensorFlow returns float32

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "squash": self.squash}


def _center(images: tf.Tensor, size: tuple[int, ...]) -> tf.Tensor:
    """The largest centered part of images that has the aspect of a size."""
    height, width = images.shape[1:3]
    scale = min(height / size[0], width / size[1])
    high, wide = (max(1, round(side * scale)) for side in size)
    top, left = (height - high) // 2, (width - wide) // 2
    return images[:, top : top + high, left : left + wide]


def scaled_to(
    backbone: keras.Model,
    size: tuple[int, int],
    view: tuple[int, int, int],
    *,
    squash: bool = False,
) -> keras.Model:
    """Put a backbone for images of one size behind images of another.

    Args:
        backbone: A model from images `(B, *size, C)`.
        size: Height and width of the images that it takes, in pixels.
        view: Height, width and channels of the images that the result takes.
        squash: As for `ScaleImages`.

    Returns:
        A model from `(B, *view)` to what the backbone returns.
    """
    images = keras.Input(view, name="view")
    scaled = ScaleImages(size, squash, name="scaled")(images)
    return keras.Model(images, backbone(scaled), name=f"{backbone.name}_scaled")
