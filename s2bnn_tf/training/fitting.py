"""The steps of a run, from where it is to its end, with everything around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from s2bnn_tf.config import Config
from s2bnn_tf.data import Augmentation, ImageSource, batch_indices, view_dataset
from s2bnn_tf.errors import UserError
from s2bnn_tf.runs import CheckpointStore, RunDirectory
from s2bnn_tf.training.binary_health import BinaryHealth, SignFlips
from s2bnn_tf.training.distribution import agreement
from s2bnn_tf.training.pretrainer import Pretrainer
from s2bnn_tf.training.progress import MetricsLog, Monitor, Monitors, Progress
from s2bnn_tf.training.run_lock import RunLock
from s2bnn_tf.training.saving import Checkpoints
from s2bnn_tf.training.stopping import Interrupted, StopOnNotFinite, StopOnSignal

keras = tf.keras

_HEALTH_IMAGES = 32
# What TensorFlow raises in a worker when another one is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


@dataclass
class Training:
    """A run in this process.

    Attributes:
        config: The recipe.
        pretrainer: The networks.
        source: The images.
        steps_per_epoch: Steps in an epoch.
        run: Where this process writes: the run directory, or, for a worker that is not the
            chief, a temporary one.
        lock: Of that directory.
        store: Checkpoints there.
        strategy: What the pretrainer was built for.
    """

    config: Config
    pretrainer: Pretrainer
    source: ImageSource
    steps_per_epoch: int
    run: RunDirectory
    lock: RunLock
    store: CheckpointStore
    strategy: tf.distribute.Strategy

    def __post_init__(self) -> None:
        self.flips = SignFlips(self.pretrainer.student)
        self.checkpoint = _checkpoint(self.pretrainer, self.flips)

    def restore(self, prefix: str) -> None:
        """Set everything to what a checkpoint holds."""
        self.checkpoint.read(prefix).assert_existing_objects_matched()

    def fit(self, monitors: Mapping[str, Monitor]) -> bool:
        """Train to the end: first what is left of an epoch, then whole epochs.

        Returns:
            Whether a signal ended it before; then everything is saved.
        """
        epoch, done = divmod(self.pretrainer.steps_done(), self.steps_per_epoch)
        epochs, steps = self.config.epochs, self.steps_per_epoch
        legs = [(epoch, epoch + 1, steps - done), (epoch + 1, epochs, steps)]
        legs = [leg for leg in (legs if done else [(epoch, epochs, steps)]) if leg[0] < leg[1]]
        agree = agreement(self.strategy)
        with StopOnSignal(agree) as stop:
            callbacks = self._callbacks(stop, monitors, agree)
            try:
                for begin, end, length in legs:
                    self._fit_epochs(begin, end, length, callbacks)
                    if stop.stopped:
                        callbacks[-1].save()
                        break
                agree(False)  # no worker leaves while another still needs it
            except Interrupted:  # before the first step: there is nothing new to save
                pass
            except _LOST as error:
                if self.strategy.cluster_resolver is None:
                    raise
                raise UserError(
                    "Another worker has gone, and this one stops; start all of them again, "
                    "which go on from the last checkpoint."
                ) from error
        return stop.stopped

    def _fit_epochs(self, begin: int, end: int, steps: int, callbacks) -> None:
        views = distributed_views(
            self.strategy,
            self.source,
            self.config,
            views=self.pretrainer.views,
            first_step=self.pretrainer.steps_done(),
        )
        self.pretrainer.fit(
            views,
            initial_epoch=begin,
            epochs=end,
            steps_per_epoch=steps,
            callbacks=callbacks,
            verbose=0,
        )

    def _callbacks(self, stop, monitors, agree) -> list[keras.callbacks.Callback]:
        config, monitor = self.config, self.config.monitor
        first_step = self.pretrainer.steps_done()
        first_epoch, done = divmod(first_step, self.steps_per_epoch)
        lengths = {
            "batch_size": config.data.batch_size,
            "steps_per_epoch": self.steps_per_epoch,
        }
        checkpoints = Checkpoints(
            self.checkpoint,
            self.store,
            self.run,
            self.lock,
            every=monitor.checkpoint_every,
            minutes=monitor.checkpoint_minutes,
            epochs=config.epochs,
            facts={"images": len(self.source), "seed": config.seed},
            agree=agree,
        )
        return [
            *([ResumeMeans(self.pretrainer)] if done else []),
            StopOnNotFinite(self.run, self.store, seed=config.seed, batch=self._batch),
            stop,
            BinaryHealth(
                self.flips,
                self._health_images,
                steps_per_epoch=self.steps_per_epoch,
                epoch_begun=bool(done),
            ),
            Monitors(monitors, stop, every=monitor.knn_every, epochs=config.epochs),
            MetricsLog(self.run, self.lock, **lengths, first_epoch=first_epoch),
            Progress(**lengths, epochs=config.epochs, first_step=first_step),
            checkpoints,
        ]

    def _batch(self, step: int) -> list[Any]:
        """The images of a step: numbers, or paths of files."""
        indices = batch_indices(
            len(self.source), self.config.data.batch_size, seed=self.config.seed, step=step
        )
        return [self.source.identify(i) for i in indices]

    def _health_images(self) -> tf.Tensor:
        """The first images of the first batch."""
        data = self.config.data
        views = view_dataset(
            self.source,
            augmentation_of(data),
            image_size=data.image_size,
            batch_size=min(_HEALTH_IMAGES, data.batch_size),
            views=1,
            seed=self.config.seed,
        )
        return next(iter(views))[0]


class ResumeMeans(keras.callbacks.Callback):
    """Goes on with the epoch's means of the losses, which `fit` sets to zero when it begins."""

    def __init__(self, pretrainer: Pretrainer):
        super().__init__()
        self.values = {name: mean.get_weights() for name, mean in pretrainer.means.items()}

    def on_epoch_begin(self, epoch, logs=None):
        for name, values in self.values.items():
            self.model.means[name].set_weights(values)
        self.values = {}


def distributed_views(
    strategy: tf.distribute.Strategy,
    source: ImageSource,
    config: Config,
    *,
    views: int,
    first_step: int,
):
    """The views of a run: each replica gets its part of every batch."""

    def make(context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
        context = context or tf.distribute.InputContext()
        return view_dataset(
            source,
            augmentation_of(config.data),
            image_size=config.data.image_size,
            batch_size=config.data.batch_size,
            views=views,
            seed=config.seed,
            first_step=first_step,
            replicas=context.num_replicas_in_sync,
            pipeline=context.input_pipeline_id,
            pipelines=context.num_input_pipelines,
        )

    if strategy.num_replicas_in_sync == 1 and not strategy.cluster_resolver:
        return make()
    return strategy.distribute_datasets_from_function(make)


def augmentation_of(data) -> Augmentation:
    """How the views of a recipe are drawn."""
    return Augmentation(
        crop_scale=data.crop_scale,
        jitter_probability=data.jitter_probability,
        grayscale_probability=data.grayscale_probability,
        blur_probability=data.blur_probability,
        flip_probability=data.flip_probability,
    )


def _checkpoint(pretrainer: Pretrainer, flips: SignFlips) -> tf.train.Checkpoint:
    """All that changes while training. The teacher does not, and is not in it."""
    parts = {
        "student": pretrainer.student,
        "optimizer": pretrainer.optimizer,
        "steps": pretrainer.steps,
        "means": tf.train.Checkpoint(**pretrainer.means),
        "sign_flips": flips.before,
    }
    if pretrainer.momentum_encoder is not None:
        parts["momentum_encoder"] = pretrainer.momentum_encoder
    if pretrainer.queue is not None:
        parts["queue"] = pretrainer.queue
    return tf.train.Checkpoint(**parts)
