"""Datasets: random views for pretraining, labeled images for evaluation."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from s2bnn_tf.data import augment as ops
from s2bnn_tf.data.augment import Augmentation
from s2bnn_tf.data.numpy_op import numpy_op
from s2bnn_tf.data.pixels import normalize_batch
from s2bnn_tf.data.readers import (
    center_labeled,
    random_file_views,
    random_labeled,
    random_memory_crops,
)
from s2bnn_tf.data.sources import ImageSource
from s2bnn_tf.errors import UserError

PROBE_FLIP_PROBABILITY = 0.5
_PARALLEL_CALLS = os.cpu_count() or 1
_CHUNK_VALUES = 2**20  # float32 values worked on at a time: few enough to stay in the cache
_DRAWN_TOGETHER = 4  # images in files whose boxes and changes are drawn by the same operations
_MOST_IN_A_CHUNK = 64  # so that not much is cut off where several devices share a batch
_ORDER, _VIEWS = 0, 1  # what a seed is for


def steps_per_epoch(source: ImageSource, batch_size: int) -> int:
    """Whole batches in one pass over the source.

    Raises:
        UserError: If the source has fewer images than a batch.
    """
    steps = len(source) // batch_size
    if steps == 0:
        raise UserError(
            f"{source.name} has {len(source)} {source.split} images, fewer than one batch of "
            f"{batch_size}; set data.batch_size to {len(source)} or less."
        )
    return steps


def view_dataset(
    source: ImageSource,
    augmentation: Augmentation,
    *,
    image_size: int,
    batch_size: int,
    views: int,
    seed: int,
    first_step: int = 0,
    replicas: int = 1,
    pipeline: int = 0,
    pipelines: int = 1,
) -> tf.data.Dataset:
    """Build an endless dataset of random views.

    Each epoch is a permutation of the source, its remainder dropped. Batch k depends on the
    seed and k alone: a run resumed at `first_step` sees what an uninterrupted one would have.

    Args:
        source: The images.
        augmentation: How views are drawn.
        image_size: Side S of a view.
        batch_size: Images in a batch, B.
        views: 1 or 2 of each image.
        seed: Any integer.
        first_step: The batch to start from.
        replicas: Devices R that share each batch, B being a multiple of R.
        pipeline: Which of the datasets that feed them this is, from 0.
        pipelines: How many those are; each feeds R / pipelines devices, in turn.

    Returns:
        A dataset of tuples of `views` tensors, normalized float32 `(B / R, S, S, 3)`.

    Raises:
        UserError: If the source has fewer images than a batch.
    """
    steps = steps_per_epoch(source, batch_size)
    share = batch_size // replicas
    # Views are drawn and made in chunks of the whole batch, so that any number of devices sees
    # the same ones; what a chunk has beside this pipeline's part of the batch is cut off.
    if source.images is None:
        chunk = _largest_divisor(batch_size, _DRAWN_TOGETHER)
    else:
        chunk = _chunk_size(batch_size, image_size * image_size * 3 * views)
    first, last = (batch_size * part // pipelines for part in (pipeline, pipeline + 1))
    chunks = np.arange(first // chunk, -(-last // chunk))
    kept = np.clip(np.array([first, last]) - chunk * chunks[:, np.newaxis], 0, chunk)
    first_epoch, skipped = divmod(first_step, steps)

    def epoch_chunks(epoch: tf.Tensor) -> tf.data.Dataset:
        order = _epoch_order(len(source), seed, epoch)[: steps * batch_size]
        numbers = (epoch * steps + tf.range(steps, dtype=tf.int64))[:, tf.newaxis]
        numbers = numbers * (batch_size // chunk) + chunks
        begin = tf.where(epoch == first_epoch, skipped, 0)
        indices = tf.gather(tf.reshape(order, (steps, -1, chunk)), chunks, axis=1)
        return tf.data.Dataset.from_tensor_slices(
            (
                tf.reshape(numbers[begin:], [-1]),
                tf.reshape(indices[begin:], (-1, chunk)),
                tf.tile(kept, (steps - begin, 1)),
            )
        )

    rows = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch_chunks)
    make = _file_views if source.images is None else _memory_views
    made = make(rows, source, augmentation, image_size, views, seed)
    made = made.rebatch(share, drop_remainder=True)
    if source.images is None:
        made = made.map(_normalize, num_parallel_calls=2, deterministic=True)
    return _without_autotuning(made.prefetch(2))


def _memory_views(rows, source, augmentation, image_size, views, seed) -> tf.data.Dataset:
    """Small images: all operations on chunks of a batch."""
    crop = random_memory_crops(source.images, image_size, augmentation.crop_scale, views)

    def make_views(row: tf.Tensor, indices: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, ...]:
        crop_seed, view_seed = tf.unstack(tf.random.split(_seed(seed, _VIEWS, row)), axis=0)
        # Two views of B images are one batch of 2 B: half the operations, half the start-up.
        images = augment_view(crop(indices, crop_seed), augmentation, view_seed)
        return tuple(part[kept[0] : kept[1]] for part in tf.split(images, views))

    return rows.map(make_views, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)


def _file_views(rows, source, augmentation, image_size, views, seed) -> tf.data.Dataset:
    """Large images: each is decoded once, and each of its views goes its own way, in bytes."""
    make = random_file_views(source, image_size, augmentation, views)
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1  # the images are parallel already
    # Twice the cores: a thread in Python may wait for another.
    options.threading.private_threadpool_size = 2 * _PARALLEL_CALLS

    def make_views(row: tf.Tensor, indices: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, ...]:
        made = make(indices, _seed(seed, _VIEWS, row))
        return tuple(part[kept[0] : kept[1]] for part in made)

    return rows.map(
        make_views, num_parallel_calls=2 * _PARALLEL_CALLS, deterministic=True
    ).with_options(options)


def _normalize(*views: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The last step of views that were in bytes so far."""

    def normalized(view: tf.Tensor) -> tf.Tensor:
        done = numpy_op(
            normalize_batch, lambda x: np.zeros(x.shape, np.float32), [view], tf.float32
        )
        return tf.ensure_shape(done, view.shape)

    return tuple(normalized(view) for view in views)


def batch_indices(count: int, batch_size: int, *, seed: int, step: int) -> np.ndarray:
    """Which of `count` images are in the batch of a step of `view_dataset`, `(B,)` int64."""
    epoch, row = divmod(step, count // batch_size)
    return _epoch_order(count, seed, epoch)[row * batch_size : (row + 1) * batch_size].numpy()


def augment_view(images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Turn crops, RGB 0-255 `(B, S, S, 3)`, into normalized views of the same shape."""
    seeds = tf.unstack(tf.random.split(seed, 4), axis=0)
    images = ops.color_jitter(images, augmentation.jitter_probability, seeds[0])
    images = ops.random_grayscale(images, augmentation.grayscale_probability, seeds[1])
    images = ops.gaussian_blur(images, augmentation.blur_probability, seeds[2])
    images = ops.random_flip(images, augmentation.flip_probability, seeds[3])
    return ops.normalize(images)


def labeled_dataset(
    source: ImageSource,
    *,
    image_size: int,
    batch_size: int,
    center_crop: float,
    crop_scale: tuple[float, float] | None = None,
    seed: int = 0,
) -> tf.data.Dataset:
    """Build a finite dataset of images and labels, for evaluation.

    Images are resized so that the shorter side is `image_size / center_crop`, and the center
    of `image_size` is kept. A file that turns out to be damaged is left out with its label.

    Args:
        source: The images.
        image_size: Side S of the images.
        batch_size: Images in a batch; the last one may be smaller.
        center_crop: Share of the shorter side that is kept: 0.875 for 224 of 256, 1.0 for all.
        crop_scale: Draw random resized crops of this share of the area, (smallest, largest) in
            (0, 1], and flips instead, in random order: one epoch of a classifier's training.
            Give each epoch its own seed.
        seed: Of the crops and the order.

    Returns:
        A dataset of `(images, labels)`: RGB 0-255 float32 `(B, S, S, 3)`, not normalized, and
        int64 `(B,)`, -1 where there is no label; in the order of the source unless
        there is a `crop_scale`.
    """
    count = len(source)
    labels = tf.constant(np.full(count, -1) if source.labels is None else source.labels, tf.int64)
    if crop_scale is not None:
        order = _permutation(count, _seed(seed, _ORDER, 0))
        crop = random_labeled(source, image_size, crop_scale)
    else:
        order = tf.range(count, dtype=tf.int64)
        center = center_labeled(source, image_size, round(image_size / center_crop))

    def load(row: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if crop_scale is not None:
            seeds = tf.unstack(tf.random.split(_seed(seed, _VIEWS, row)), axis=0)
            images, kept = crop(indices, seeds[0])
            images = ops.random_flip(images, PROBE_FLIP_PROBABILITY, seeds[1])
        else:
            images, kept = center(indices)
        return images, tf.gather(labels, kept)

    return _without_autotuning(
        tf.data.Dataset.from_tensor_slices(order)
        .batch(_chunk_size(batch_size, image_size * image_size * 3))
        .enumerate()
        .map(load, num_parallel_calls=_PARALLEL_CALLS, deterministic=True)
        .rebatch(batch_size)
        .prefetch(2)
    )


def _without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """All numbers of threads are given, so there is nothing to tune.

    The thread that would do so sleeps up to a minute between two looks, and whoever lets go of
    the iterator, as a training does that is stopped, waits until it wakes.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _permutation(count: int, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), seed)


def _epoch_order(count: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    return _permutation(count, _seed(seed, _ORDER, epoch))


def _seed(seed: int, purpose: int, number: int | tf.Tensor) -> tf.Tensor:
    pair = tf.constant([seed % 2**31, purpose], tf.int32)
    return tf.random.fold_in(pair, tf.cast(number, tf.int64))


def _chunk_size(batch_size: int, image_values: int) -> int:
    """The largest part of a batch, dividing it, that stays within `_CHUNK_VALUES`."""
    return _largest_divisor(
        batch_size, min(_MOST_IN_A_CHUNK, max(1, _CHUNK_VALUES // image_values))
    )


def _largest_divisor(number: int, most: int) -> int:
    return max(d for d in range(1, number + 1) if number % d == 0 and d <= most)
