"""The steps of a run, from where it is to its end, with everything around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from s2bnn_tf.config import Config
from s2bnn_tf.data import ImageSource, plain_errors
from s2bnn_tf.errors import CheckpointError, DeviceError
from s2bnn_tf.locks import DirectoryLock
from s2bnn_tf.runs import CheckpointStore, RunDirectory
from s2bnn_tf.teachers import StoredTargets, teacher_failures
from s2bnn_tf.training.binary_health import BinaryHealth, SignFlips
from s2bnn_tf.training.distribution import agreement, is_chief
from s2bnn_tf.training.feeding import distributed_views, health_images, images_of_step
from s2bnn_tf.training.loggers import Logger, open_loggers
from s2bnn_tf.training.metrics_log import MetricsLog
from s2bnn_tf.training.monitors import Monitor, Monitors
from s2bnn_tf.training.pretrainer import Pretrainer
from s2bnn_tf.training.progress import TerminalProgress
from s2bnn_tf.training.saving import Checkpoints
from s2bnn_tf.training.stopping import Interrupted, StopOnNotFinite, StopOnSignal

keras = tf.keras

# The errors that TensorFlow raises in a worker when another one is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Stretch(NamedTuple):
    """Consecutive epochs of the same length, trained by one call of `fit`.

    Attributes:
        first_epoch: The first epoch, counted from 0.
        end_epoch: The epoch after the last one.
        steps: The number of steps in each epoch.
    """

    first_epoch: int
    end_epoch: int
    steps: int


@dataclass
class Training:
    """A run in this process.

    Attributes:
        config: The recipe.
        pretrainer: The networks.
        source: The images.
        steps_per_epoch: The number of steps in an epoch.
        run: The directory that this process writes to: the run directory or, for a worker that
            is not the chief, a temporary one.
        lock: The lock held on that directory.
        store: The checkpoints in that directory.
        strategy: The strategy that the pretrainer was built with.
        stored: The teacher's targets, if they were computed before.
    """

    config: Config
    pretrainer: Pretrainer
    source: ImageSource
    steps_per_epoch: int
    run: RunDirectory
    lock: DirectoryLock
    store: CheckpointStore
    strategy: tf.distribute.Strategy
    stored: StoredTargets | None = None

    def __post_init__(self) -> None:
        self.flips = SignFlips(self.pretrainer.student)
        self.checkpoint = _checkpoint(self.pretrainer, self.flips)

    def restore(self, prefix: str) -> None:
        """Restore everything from a checkpoint.

        Raises:
            CheckpointError: If it lacks something, as those do that TensorFlow Addons' LAMB, which
                was used before, has written.
        """
        try:
            self.checkpoint.read(prefix).assert_existing_objects_matched()
        except (AssertionError, ValueError) as error:  # Keras refuses optimizers of its old kind
            raise CheckpointError(
                f"{prefix} holds the state of another optimizer, as LAMB's of earlier versions, "
                "and cannot be resumed; choose another --output-dir and start from its weights "
                f"with --set student.init_from={Path(prefix).parents[1]}."
            ) from error

    def fit(
        self,
        monitors: Mapping[str, Monitor],
        others: Sequence[keras.callbacks.Callback] = (),
    ) -> bool:
        """Train to the end: first the rest of an epoch that was begun, then whole epochs.

        Args:
            monitors: Functions from the student to a score, by name.
            others: Callbacks of the caller's own. One that sets `stop_training` ends the run.

        Returns:
            Whether a signal ended training early; then everything is saved.

        Raises:
            DeviceError: If another worker is gone.
        """
        agree = agreement(self.strategy)
        names = self.config.loggers if is_chief(self.strategy) else ()
        stop = StopOnSignal(agree)
        with (
            stop,
            open_loggers(names, self.run, self.config, stopped=lambda: stop.stopped) as loggers,
        ):
            saving = self._checkpoints(agree)
            callbacks = [*self._observers(stop, monitors, loggers), *others, saving]
            try:
                for stretch in self._remaining():
                    self._fit_stretch(stretch, callbacks)
                    if stop.stopped or self.pretrainer.stop_training:
                        saving.save()
                        break
                agree(False)  # no worker leaves while another still needs it
            except Interrupted:  # before the first step: there is nothing new to save
                pass
            except _LOST as error:
                if self.strategy.cluster_resolver is None:
                    raise
                raise DeviceError(
                    "Another worker has gone, so this one stops; start all workers again, and "
                    "they resume from the last checkpoint."
                ) from error
        return stop.stopped

    def _remaining(self) -> list[Stretch]:
        """The rest of an epoch that was begun, if there is one, and the whole epochs after it."""
        epoch, done = divmod(self.pretrainer.steps_done(), self.steps_per_epoch)
        stretches = []
        if done:
            stretches.append(Stretch(epoch, epoch + 1, self.steps_per_epoch - done))
            epoch += 1
        if epoch < self.config.epochs:
            stretches.append(Stretch(epoch, self.config.epochs, self.steps_per_epoch))
        return stretches

    def _fit_stretch(self, stretch: Stretch, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        views = distributed_views(
            self.strategy,
            self.source,
            self.config,
            views=self.pretrainer.views,
            first_step=self.pretrainer.steps_done(),
            stored=self.stored,
        )
        with teacher_failures(), plain_errors():
            self.pretrainer.fit(
                views,
                initial_epoch=stretch.first_epoch,
                epochs=stretch.end_epoch,
                steps_per_epoch=stretch.steps,
                callbacks=callbacks,
                verbose=0,
            )

    def _checkpoints(self, agree: Callable[[bool], bool]) -> Checkpoints:
        monitor = self.config.monitor
        return Checkpoints(
            self.checkpoint,
            self.store,
            self.run,
            self.lock,
            every=monitor.checkpoint_every,
            minutes=monitor.checkpoint_minutes,
            epochs=self.config.epochs,
            facts={"images": len(self.source), "seed": self.config.seed},
            agree=agree,
        )

    def _observers(
        self, stop: StopOnSignal, monitors: Mapping[str, Monitor], loggers: Sequence[Logger]
    ) -> list[keras.callbacks.Callback]:
        """All callbacks of ours but the one that saves, which comes after all others."""
        config = self.config
        first_step = self.pretrainer.steps_done()
        first_epoch, done = divmod(first_step, self.steps_per_epoch)
        lengths = {
            "batch_size": config.data.batch_size,
            "steps_per_epoch": self.steps_per_epoch,
        }
        return [
            *([ResumeMeans(self.pretrainer)] if done else []),
            StopOnNotFinite(
                self.run,
                self.store,
                seed=config.seed,
                batch=partial(images_of_step, self.source, config),
            ),
            stop,
            BinaryHealth(
                self.flips,
                partial(health_images, self.source, config),
                learning_rate=config.optimizer.learning_rate,
                steps_per_epoch=self.steps_per_epoch,
                epoch_begun=bool(done),
            ),
            Monitors(monitors, stop, every=config.monitor.knn_every, epochs=config.epochs),
            MetricsLog(self.run, self.lock, loggers, **lengths, first_epoch=first_epoch),
            TerminalProgress(**lengths, epochs=config.epochs, first_step=first_step),
        ]


class ResumeMeans(keras.callbacks.Callback):
    """Restore the means of a resumed epoch, which `fit` resets when it begins.

    Args:
        pretrainer: The pretrainer whose means were read from a checkpoint.
    """

    def __init__(self, pretrainer: Pretrainer):
        super().__init__()
        self.values = {name: mean.get_weights() for name, mean in pretrainer.means.items()}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any]) -> None:
        for name, values in self.values.items():
            self.model.means[name].set_weights(values)
        self.values = {}


def _checkpoint(pretrainer: Pretrainer, flips: SignFlips) -> tf.train.Checkpoint:
    """Collect everything that changes while training. The teacher does not, and is left out."""
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
