"""Checkpoints while training: every few epochs, every few minutes, and at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from s2bnn_tf.errors import UserError, file_reason
from s2bnn_tf.runs import CheckpointStore, RunDirectory, save_encoder
from s2bnn_tf.training.run_lock import RunLock

keras = tf.keras


@contextmanager
def writing_to(run: RunDirectory) -> Iterator[None]:
    """Tells in one sentence that the output directory cannot be written.

    Raises:
        UserError: instead of any error of the file system.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"Cannot save a checkpoint in {run.path}: {file_reason(error)}; make room and run "
            "the same command again, which goes on from the last checkpoint."
        ) from error


class Checkpoints(keras.callbacks.Callback):
    """Saves the whole state.

    Args:
        checkpoint: The state.
        store: Where it goes.
        run: Where the student's weights go.
        lock: Of the run directory.
        every: Epochs between checkpoints; the last epoch has one anyway.
        minutes: Minutes between checkpoints, also within an epoch; 0 for never.
        epochs: Epochs of the whole run.
        facts: Noted with each checkpoint.
    """

    def __init__(
        self,
        checkpoint: tf.train.Checkpoint,
        store: CheckpointStore,
        run: RunDirectory,
        lock: RunLock,
        *,
        every: int,
        minutes: float,
        epochs: int,
        facts: Mapping[str, Any],
        agree: Callable[[bool], bool] = bool,
    ):
        super().__init__()
        self.checkpoint = checkpoint
        self.store = store
        self.run = run
        self.lock = lock
        self.every = every
        self.seconds = 60 * minutes
        self.epochs = epochs
        self.facts = facts
        self.agree = agree
        self.saved = time.monotonic()
        self.saved_step = -1

    def on_train_batch_end(self, batch, logs=None):
        due = bool(self.seconds) and time.monotonic() - self.saved >= self.seconds
        # At a stop before anything else: what an epoch's end has to tell can take seconds.
        if self.agree(due) or self.model.stop_training:
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        if not self.model.stop_training and (
            (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs
        ):
            self.save()

    def save(self) -> None:
        """Write a checkpoint and `encoder.weights.h5`, unless this step's are written already.

        Raises:
            UserError: if they cannot be written; what was there before stays.
        """
        if self.model.steps_done() == self.saved_step:
            return
        self.lock.check()
        with writing_to(self.run):
            self.store.save(self.checkpoint, self.model.steps_done(), self.facts)
            save_encoder(self.model.student_to_read(), self.run)
        self.saved = time.monotonic()
        self.saved_step = self.model.steps_done()
