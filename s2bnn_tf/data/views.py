"""The endless dataset of random views that pretraining reads."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from s2bnn_tf.data.augment import Augmentation
from s2bnn_tf.data.image_source import ImageSource, ViewMaker
from s2bnn_tf.data.numpy_op import numpy_op
from s2bnn_tf.data.order import VIEWS, epoch_order, fold_seed, largest_divisor, steps_per_epoch
from s2bnn_tf.data.pixels import normalize_batch
from s2bnn_tf.image_size import ImageSize, height_width

PARALLEL_CALLS = os.cpu_count() or 1


def view_dataset(
    source: ImageSource,
    augmentation: Augmentation,
    *,
    image_size: ImageSize,
    batch_size: int,
    views: int,
    seed: int,
    channels: int = 3,
    first_step: int = 0,
    replicas: int = 1,
    pipeline: int = 0,
    pipelines: int = 1,
) -> tf.data.Dataset:
    """Build an endless dataset of random views.

    Each epoch is a permutation of the source without its remainder. Batch k depends only on
    the seed and k: a run resumed at `first_step` sees what an uninterrupted one would have.

    Args:
        source: The images.
        augmentation: How views are drawn.
        image_size: The side of a view in pixels, or its height H and width W.
        batch_size: The number of images in a batch, B.
        views: The number of views of each image.
        seed: The seed of the order and the views, any integer.
        channels: The number of channels C: 3, or 1 for gray views.
        first_step: The batch to start from.
        replicas: The number of devices R that share each batch; it divides B.
        pipeline: The number of this dataset among those that feed the devices, from 0.
        pipelines: The number of those datasets; each feeds R / pipelines devices, in turn.

    Returns:
        A dataset of tuples of `views` tensors, normalized float32 `(B / R, H, W, C)`.

    Raises:
        DataError: If the source has fewer images than a batch.
    """
    steps = steps_per_epoch(source, batch_size)
    maker = source.view_maker((*height_width(image_size), channels), augmentation, views)
    # Views are drawn and made in chunks of the whole batch, which gives any number of devices
    # the same ones; the part of a chunk outside this pipeline's share of the batch is cut off.
    chunk = largest_divisor(batch_size, maker.most_at_once)
    first, last = (batch_size * part // pipelines for part in (pipeline, pipeline + 1))
    chunks = np.arange(first // chunk, -(-last // chunk))
    kept = np.clip(np.array([first, last]) - chunk * chunks[:, np.newaxis], 0, chunk)
    first_epoch, skipped = divmod(first_step, steps)

    def epoch_chunks(epoch: tf.Tensor) -> tf.data.Dataset:
        order = epoch_order(len(source), seed, epoch)[: steps * batch_size]
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
    made = _map_chunks(rows, maker, seed).rebatch(batch_size // replicas, drop_remainder=True)
    if maker.in_bytes:
        made = made.map(_normalize, num_parallel_calls=2, deterministic=True)
    return without_autotuning(made.prefetch(2))


def _map_chunks(rows: tf.data.Dataset, maker: ViewMaker, seed: int) -> tf.data.Dataset:
    """Make the views of each chunk, and cut off those of other pipelines."""

    def make(number: tf.Tensor, indices: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, ...]:
        made = maker.make(indices, fold_seed(seed, VIEWS, number))
        return tuple(part[kept[0] : kept[1]] for part in made)

    if not maker.in_bytes:
        return rows.map(make, num_parallel_calls=PARALLEL_CALLS, deterministic=True)
    # Twice the number of cores, because a thread in Python may wait for another.
    threads = 2 * PARALLEL_CALLS
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1  # the images are parallel already
    options.threading.private_threadpool_size = threads
    return rows.map(make, num_parallel_calls=threads, deterministic=True).with_options(options)


def _normalize(*views: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Normalize whole batches of views in bytes."""

    def normalized(view: tf.Tensor) -> tf.Tensor:
        done = numpy_op(
            normalize_batch, lambda x: np.zeros(x.shape, np.float32), [view], tf.float32
        )
        return tf.ensure_shape(done, view.shape)

    return tuple(normalized(view) for view in views)


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turn autotuning off: all numbers of threads are given, which leaves nothing to tune.

    The autotuning thread sleeps for up to a minute between two looks, and whoever drops the
    iterator, as training does when it is stopped, waits until that thread wakes.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
