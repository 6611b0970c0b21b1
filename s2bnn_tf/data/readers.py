"""From indices to images, whether they are in memory or in files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from s2bnn_tf.data import augment as ops
from s2bnn_tf.data.augment import Augmentation
from s2bnn_tf.data.changes import Changes, sample_changes
from s2bnn_tf.data.files import (
    center_offset,
    crop_readable_files,
    make_views,
    resize_readable_files,
    resized_shape,
)
from s2bnn_tf.data.numpy_op import numpy_op
from s2bnn_tf.data.resample import interpolation_matrix, resample
from s2bnn_tf.data.sources import ImageSource


def random_memory_crops(
    images: np.ndarray, size: int, crop_scale: tuple[float, float], views: int
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a function from B indices and a seed to float32 crops `(views * B, S, S, 3)`."""
    pixels = tf.constant(images)

    def crop(indices: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        chosen = tf.gather(pixels, tf.tile(indices, [views]))
        return ops.random_resized_crop(chosen, size, crop_scale, seed)

    return crop


def random_file_views(
    source: ImageSource, size: int, augmentation: Augmentation, views: int
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]:
    """Return a function from B indices and a seed to `views` tensors, uint8 `(B, S, S, 3)`."""
    sizes = tf.constant(source.sizes)

    def make(indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        crop_seed, view_seed = tf.unstack(tf.random.split(seed), axis=0)
        image_sizes = tf.gather(sizes, tf.repeat(indices, views))
        boxes = ops.sample_crop_boxes(image_sizes, augmentation.crop_scale, crop_seed)
        changes = sample_changes(indices.shape[0] * views, augmentation, view_seed)
        shape = (indices.shape[0], size, size, 3)
        made = numpy_op(
            lambda index, box, *draws: make_views(source, index, box, Changes(*draws), size),
            lambda *_: [np.zeros(shape, np.uint8)] * views,
            [indices, tf.reshape(boxes, (-1, views, 4)), *changes],
            [tf.uint8] * views,
        )
        return tuple(tf.ensure_shape(view, shape) for view in made)

    return make


def random_labeled(
    source: ImageSource, size: int, crop_scale: tuple[float, float]
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function from B indices and a seed to crops of the readable ones, and those."""
    pixels = None if source.images is None else tf.constant(source.images)
    sizes = None if source.sizes is None else tf.constant(source.sizes)

    def load(indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if pixels is not None:
            images, kept = tf.gather(pixels, indices), indices
            images = ops.random_resized_crop(images, size, crop_scale, seed)
        else:
            boxes = ops.sample_crop_boxes(tf.gather(sizes, indices), crop_scale, seed)
            images, kept = _read_labeled(
                lambda i, b: crop_readable_files(source, i, b, size), [indices, boxes], size
            )
        return images, kept

    return load


def center_labeled(
    source: ImageSource, size: int, shorter_side: int
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function from B indices to the centers of the readable images, and those."""
    if source.images is None:

        def load_paths(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return _read_labeled(
                lambda i: resize_readable_files(source, i, shorter_side, size), [indices], size
            )

        return load_paths

    pixels = tf.constant(source.images)
    shape = source.images.shape[1:3]
    matrices = []
    for length, resized in zip(shape, resized_shape(shape, shorter_side)):
        matrix = interpolation_matrix(tf.zeros(1), tf.constant([float(length)]), length, resized)
        offset = center_offset(resized, size)
        matrices.append(matrix[:, offset : offset + size])

    def load_memory(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return resample(tf.gather(pixels, indices), *matrices), indices

    return load_memory


def _read_labeled(
    read: Callable[..., tuple[np.ndarray, np.ndarray]], inputs: list[tf.Tensor], size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    def blank(indices: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(indices), size, size, 3), np.uint8), indices

    images, kept = numpy_op(read, blank, inputs, (tf.uint8, tf.int64))
    images = tf.cast(tf.ensure_shape(images, (None, size, size, 3)), tf.float32)
    return images, tf.ensure_shape(kept, (None,))
