"""The views that a run is trained on, and the images that its reports name."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from s2bnn_tf.config import Config
from s2bnn_tf.data import ImageSource, batch_indices, view_dataset
from s2bnn_tf.runs import build_augmentation
from s2bnn_tf.teachers import StoredTargets

_HEALTH_IMAGES = 32


def distributed_views(
    strategy: tf.distribute.Strategy,
    source: ImageSource,
    config: Config,
    *,
    views: int,
    first_step: int,
    stored: StoredTargets | None = None,
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Build the endless dataset of a run's views, of which each replica gets its share.

    Args:
        strategy: The strategy that the run is trained with.
        source: The images.
        config: The recipe.
        views: The number of views of each image, 1 or 2.
        first_step: The step to start from, counted from 0.
        stored: The teacher's targets, if they were computed before; each batch ends with its own.
    """

    def make(context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
        context = context or tf.distribute.InputContext()
        made = view_dataset(
            source,
            build_augmentation(config.data),
            image_size=config.data.image_size,
            batch_size=config.data.batch_size,
            views=views,
            seed=config.seed,
            channels=config.data.channels,
            first_step=first_step,
            replicas=context.num_replicas_in_sync,
            pipeline=context.input_pipeline_id,
            pipelines=context.num_input_pipelines,
            crops=None if stored is None else stored.crops,
            placed=stored is not None,
        )
        if stored is None:
            return made
        return made.map(lambda *batch: (*batch[:-1], stored.look_up(batch[-1])))

    if strategy.num_replicas_in_sync == 1 and not strategy.cluster_resolver:
        return make()
    return strategy.distribute_datasets_from_function(make)


def health_images(source: ImageSource, config: Config) -> tf.Tensor:
    """Return views of the first images of the first batch, normalized `(B, H, W, C)`."""
    views = view_dataset(
        source,
        build_augmentation(config.data),
        image_size=config.data.image_size,
        batch_size=min(_HEALTH_IMAGES, config.data.batch_size),
        views=1,
        seed=config.seed,
        channels=config.data.channels,
    )
    return next(iter(views))[0]


def images_of_step(source: ImageSource, config: Config, step: int) -> list[Any]:
    """Return the images of a step, counted from 0, by the names that users know them by."""
    indices = batch_indices(len(source), config.data.batch_size, seed=config.seed, step=step)
    return [source.identify(int(i)) for i in indices]
