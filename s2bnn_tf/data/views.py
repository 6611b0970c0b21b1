"""The endless dataset of random views that pretraining reads."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from s2bnn_tf.data.augment import Augmentation
from s2bnn_tf.data.crops import Crops, MakeFromCrops, views_of_crops
from s2bnn_tf.data.image_source import ImageSource, ViewMaker
from s2bnn_tf.data.numpy_op import numpy_op
from s2bnn_tf.data.order import VIEWS, epoch_order, fold_seed, largest_divisor, steps_per_epoch
from s2bnn_tf.data.pixels import normalize_batch
from s2bnn_tf.image_size import ImageSize, Shape, height_width

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
    crops: Crops | None = None,
    placed: bool = False,
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
        crops: K crops of each image, which the first view shows one of; the colors of the view
            change as always. Within K epochs every crop has its turn, and a batch mixes them.
        placed: Whether a batch also tells what its first views show.

    Returns:
        A dataset of tuples of `views` tensors, normalized float32 `(B / R, H, W, C)`, and where
        `placed`, int64 `(B / R,)`: the number of the image or, with `crops`, K times the number
        plus that of the crop.

    Raises:
        DataError: If the source has fewer images than a batch.
    """
    steps = steps_per_epoch(source, batch_size)
    make, maker, turns = _choose_maker(
        source, (*height_width(image_size), channels), augmentation, views, crops
    )
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
        indices = tf.reshape(indices[begin:], (-1, chunk))
        return tf.data.Dataset.from_tensor_slices(
            (
                tf.reshape(numbers[begin:], [-1]),
                indices,
                indices * turns + (indices + epoch) % turns,
                tf.tile(kept, (steps - begin, 1)),
            )
        )

    rows = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch_chunks)
    made = _map_chunks(rows, make, seed, in_bytes=maker.in_bytes)
    made = made.rebatch(batch_size // replicas, drop_remainder=True)

    def finish(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        *made, places = batch
        finished = normalize_views(*made) if maker.in_bytes else tuple(made)
        return (*finished, places) if placed else finished

    if maker.in_bytes or not placed:
        made = made.map(finish, num_parallel_calls=2, deterministic=True)
    return without_autotuning(made.prefetch(2))


def _choose_maker(
    source: ImageSource,
    shape: Shape,
    augmentation: Augmentation,
    views: int,
    crops: Crops | None,
) -> tuple[MakeFromCrops, ViewMaker, int]:
    """How views are made of indices, a seed and places, and how many places an image has."""
    if crops is not None:
        return *views_of_crops(source, shape, augmentation, views, crops), crops.count
    maker = source.view_maker(shape, augmentation, views)
    return lambda indices, seed, _: maker.make(indices, seed), maker, 1


def _map_chunks(
    rows: tf.data.Dataset, make_views: MakeFromCrops, seed: int, *, in_bytes: bool
) -> tf.data.Dataset:
    """Make the views of each chunk, and cut off those of other pipelines."""

    def make(
        number: tf.Tensor, indices: tf.Tensor, places: tf.Tensor, kept: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        made = make_views(indices, fold_seed(seed, VIEWS, number), places)
        return tuple(part[kept[0] : kept[1]] for part in (*made, places))

    if not in_bytes:
        return rows.map(make, num_parallel_calls=PARALLEL_CALLS, deterministic=True)
    # Twice the number of cores, because a thread in Python may wait for another.
    threads = 2 * PARALLEL_CALLS
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1  # the images are parallel already
    options.threading.private_threadpool_size = threads
    return rows.map(make, num_parallel_calls=threads, deterministic=True).with_options(options)


def normalize_views(*views: tf.Tensor) -> tuple[tf.Tensor, ...]:
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
    iterator, as training does when it is stopped, waits until that thread wakes. Rewriting the
    graph would first write it out, together with all images that are in memory.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)
