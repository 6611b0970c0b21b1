"""Checkpoints while training: every few epochs, every few minutes, and at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from s2bnn_tf.errors import CheckpointError, file_reason
from s2bnn_tf.locks import DirectoryLock
from s2bnn_tf.runs import CheckpointStore, RunDirectory, save_encoder

keras = tf.keras


@contextmanager
def writing_to(run: RunDirectory, what: str) -> Iterator[None]:
    """Turn errors of the file system into one sentence.

    Args:
        run: The run directory that is written to.
        what: What is written, as in "the metrics".

    Raises:
        CheckpointError: If the file system refuses.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise CheckpointError(
            f"Cannot write {what} to {run.path}: {file_reason(error)}; free some space and run "
            "the same command again, which resumes from the last checkpoint."
        ) from error


class Checkpoints(keras.callbacks.Callback):
    """Save everything that changes while training.

    Args:
        checkpoint: The state to save.
        store: The checkpoints on disk.
        run: The run directory that the student's weights go to.
        lock: The lock held on the run directory.
        every: The number of epochs between checkpoints; the last epoch always has one.
        minutes: The number of minutes between checkpoints, also within an epoch; 0 for never.
        epochs: The number of epochs of the whole run.
        facts: Facts that are stored with each checkpoint.
        agree: A function that returns whether any worker passed True to it, so that all
            workers save at the same step.
    """

    def __init__(
        self,
        checkpoint: tf.train.Checkpoint,
        store: CheckpointStore,
        run: RunDirectory,
        lock: DirectoryLock,
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

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        due = bool(self.seconds) and time.monotonic() - self.saved >= self.seconds
        # At a stop, before anything else: the callbacks at an epoch's end can take seconds.
        if self.agree(due) or self.model.stop_training:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if not self.model.stop_training and (
            (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs
        ):
            self.save()

    def save(self) -> None:
        """Write a checkpoint and `encoder.weights.h5`, unless this step was saved already.

        Raises:
            CheckpointError: If they cannot be written; the earlier files stay.
        """
        if self.model.steps_done() == self.saved_step:
            return
        self.lock.check()
        with writing_to(self.run, "a checkpoint"):
            self.store.save(self.checkpoint, self.model.steps_done(), self.facts)
            save_encoder(self.model.student_to_read(), self.run)
        self.saved = time.monotonic()
        self.saved_step = self.model.steps_done()
