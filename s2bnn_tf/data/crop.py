"""Random resized crops as torchvision draws them, and the center crop of evaluation."""

from __future__ import annotations

import math

import tensorflow as tf

from s2bnn_tf.data.resample import interpolation_matrix, resample
from s2bnn_tf.image_size import ImageSize, height_width

CROP_TRIES = 10
CROP_ASPECT = (3 / 4, 4 / 3)  # times that of the view


def sample_crop_boxes(
    sizes: tf.Tensor, crop_scale: tuple[float, float], seed: tf.Tensor, *, view: ImageSize = 1
) -> tf.Tensor:
    """Draw the boxes of random resized crops.

    Each image gets ten tries at an area, uniform in `crop_scale` of the image, and an aspect
    ratio, log-uniform in (3/4, 4/3) times that of the view. The first box that fits is placed
    uniformly; if none fits, the result is the largest centered box with an aspect ratio in that
    range.

    Args:
        sizes: Integers `(B, 2)`, height and width.
        crop_scale: The smallest and largest share of the area, in (0, 1].
        seed: int32 `(2,)`.
        view: The size of the view that a box becomes, of which the aspect alone counts.

    Returns:
        int32 `(B, 4)`: top, left, height and width in pixels.

    References:
        torchvision.transforms.RandomResizedCrop, its `ratio` being that range.
    """
    height, width = height_width(view)
    narrowest, widest = (ratio * width / height for ratio in CROP_ASPECT)
    uniform, seeds = tf.random.stateless_uniform, tf.random.split(seed, 3)
    sizes = tf.cast(sizes, tf.float32)
    shape = (tf.shape(sizes)[0], CROP_TRIES)
    area = tf.reduce_prod(sizes, axis=1, keepdims=True) * uniform(shape, seeds[0], *crop_scale)
    aspect = tf.exp(uniform(shape, seeds[1], math.log(narrowest), math.log(widest)))
    tries = tf.round(tf.stack([tf.sqrt(area / aspect), tf.sqrt(area * aspect)], axis=-1))
    fits = tf.reduce_all((tries > 0) & (tries <= sizes[:, tf.newaxis]), axis=-1)

    first = tf.argmax(fits, axis=1)
    chosen = tf.gather(tries, first, batch_dims=1)
    spare = sizes - chosen
    place = tf.floor(uniform(tf.shape(sizes), seeds[2]) * (spare + 1))
    sampled = tf.concat([tf.minimum(place, spare), chosen], axis=1)
    centered = _center_boxes(sizes, narrowest, widest)
    boxes = tf.where(tf.reduce_any(fits, axis=1, keepdims=True), sampled, centered)
    return tf.cast(boxes, tf.int32)


def resized_crop(images: tf.Tensor, boxes: tf.Tensor, size: ImageSize) -> tf.Tensor:
    """Cut a box out of each image and resize it with antialiased bilinear interpolation.

    The numbers are those of Pillow's `crop(box).resize((width, height), BILINEAR)` before rounding.

    Args:
        images: `(B, H, W, C)`, of any number type.
        boxes: `(B, 4)`: top, left, height and width, within the images.
        size: The size of the result in pixels.

    Returns:
        float32 `(B, H', W', C)` of that size.
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    high, wide = height_width(size)
    boxes = tf.cast(boxes, tf.float32)
    rows = interpolation_matrix(boxes[:, 0], boxes[:, 2], height, high)
    columns = interpolation_matrix(boxes[:, 1], boxes[:, 3], width, wide)
    return resample(images, rows, columns)


def random_resized_crop(
    images: tf.Tensor, size: ImageSize, crop_scale: tuple[float, float], seed: tf.Tensor
) -> tf.Tensor:
    """Resize a random box of each image `(B, H, W, C)`, float32 `(B, H', W', C)` of a size."""
    shape = tf.shape(images)
    sizes = tf.broadcast_to(shape[1:3], (shape[0], 2))
    return resized_crop(images, sample_crop_boxes(sizes, crop_scale, seed, view=size), size)


def _center_boxes(sizes: tf.Tensor, narrowest: float, widest: float) -> tf.Tensor:
    height, width = sizes[:, 0], sizes[:, 1]
    size = tf.stack(
        [
            tf.minimum(height, tf.round(width / narrowest)),
            tf.minimum(width, tf.round(height * widest)),
        ],
        axis=1,
    )
    size = tf.maximum(size, 1.0)  # of an image much narrower than the view
    return tf.concat([(sizes - size) // 2, size], axis=1)
