"""The finite dataset of images and labels that evaluation reads."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from s2bnn_tf.data.augment import random_flip
from s2bnn_tf.data.image_source import ImageSource
from s2bnn_tf.data.order import VIEWS, epoch_order, fold_seed, largest_divisor, most_in_a_chunk
from s2bnn_tf.data.views import PARALLEL_CALLS, without_autotuning
from s2bnn_tf.image_size import ImageSize, height_width

PROBE_FLIP_PROBABILITY = 0.5


def labeled_dataset(
    source: ImageSource,
    *,
    image_size: ImageSize,
    batch_size: int,
    center_crop: float | None,
    channels: int = 3,
    crop_scale: tuple[float, float] | None = None,
    seed: int = 0,
) -> tf.data.Dataset:
    """Build a finite dataset of images and labels, for evaluation.

    Images are resized until they just cover `image_size / center_crop`, and their center of
    `image_size` is kept. A damaged file is left out together with its label.

    Args:
        source: The images.
        image_size: The side of the images in pixels, or their height H and width W.
        batch_size: The number of images in a batch, B; the last batch may be smaller.
        center_crop: The share of the shorter side that is kept, in (0, 1]: 0.875 for 224 of 256.
            None squashes the whole image to the size.
        channels: The number of channels C: 3, or 1 for gray images.
        crop_scale: If given, images become random resized crops with this share of the area,
            (smallest, largest) in (0, 1], and random flips, in random order: one epoch of a
            classifier's training. Give each epoch another seed.
        seed: The seed of the crops, flips and order, any integer.

    Returns:
        A dataset of `(images, labels)`: 0-255 in float32 `(B, H, W, C)`, not normalized, and
        int64 `(B,)`, -1 where there is no label. It follows the order of the source unless
        there is a `crop_scale`.
    """
    count, shape = len(source), (*height_width(image_size), channels)
    labels = tf.constant(np.full(count, -1) if source.labels is None else source.labels, tf.int64)
    if crop_scale is None:
        order = tf.range(count, dtype=tf.int64)
        crop_center = source.center_crops(shape, center_crop)
    else:
        order = epoch_order(count, seed, 0)
        crop_randomly = source.random_crops(shape, crop_scale)

    def load(number: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if crop_scale is None:
            images, kept = crop_center(indices)
        else:
            seeds = tf.unstack(tf.random.split(fold_seed(seed, VIEWS, number)), axis=0)
            images, kept = crop_randomly(indices, seeds[0])
            images = random_flip(images, PROBE_FLIP_PROBABILITY, seeds[1])
        return images, tf.gather(labels, kept)

    chunk = largest_divisor(batch_size, most_in_a_chunk(math.prod(shape)))
    return without_autotuning(
        tf.data.Dataset.from_tensor_slices(order)
        .batch(chunk)
        .enumerate()
        .map(load, num_parallel_calls=PARALLEL_CALLS, deterministic=True)
        .rebatch(batch_size)
        .prefetch(2)
    )
