"""The finite dataset of given crops, for what is computed once for each of them."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from s2bnn_tf.data.augment import Augmentation
from s2bnn_tf.data.crops import Crops
from s2bnn_tf.data.image_source import ImageSource
from s2bnn_tf.data.order import largest_divisor
from s2bnn_tf.data.views import PARALLEL_CALLS, normalize_views, without_autotuning
from s2bnn_tf.image_size import ImageSize, height_width


def crop_dataset(
    source: ImageSource,
    crops: Crops,
    *,
    image_size: ImageSize,
    channels: int,
    images: int,
    first: int = 0,
) -> tf.data.Dataset:
    """Build a finite dataset of the crops themselves, without changes of color, in order.

    Each image is decoded once for all of its crops. An image that cannot be read is replaced by
    the next one, as `view_dataset` does.

    Args:
        source: The images.
        crops: The K crops of each of them.
        image_size: The side of a crop in pixels, or its height H and width W.
        channels: The number of channels C.
        images: The number of images in a batch.
        first: The image to start from.

    Returns:
        A dataset of normalized float32 `(images * K, H, W, C)`, crop after crop and image after
        image. The last batch is filled up with the first images of the source.
    """
    shape, count = (*height_width(image_size), channels), crops.count
    maker = source.crop_maker(shape, Augmentation((1.0, 1.0), 0.0, 0.0, 0.0, 0.0), count)
    chunk = largest_divisor(images, maker.most_at_once)
    wanted = np.arange(first, first + math.ceil((len(source) - first) / images) * images)
    boxes, flips, seed = tf.constant(crops.boxes), tf.constant(crops.flips), tf.zeros(2, tf.int32)

    def make(indices: tf.Tensor) -> tf.Tensor:
        chosen, mirrored = tf.gather(boxes, indices), tf.gather(flips, indices)
        return tf.stack(maker.make(indices, seed, chosen, mirrored), axis=1)

    made = tf.data.Dataset.from_tensor_slices((wanted % len(source)).reshape(-1, chunk))
    made = made.map(make, num_parallel_calls=PARALLEL_CALLS, deterministic=True)
    made = made.rebatch(images).map(lambda x: tf.reshape(x, (images * count, *shape)))
    if maker.in_bytes:
        made = made.map(lambda view: normalize_views(view)[0])
    return without_autotuning(made.prefetch(1))
