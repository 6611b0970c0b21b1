"""What happens around the train_step: progress, metrics, checkpoints, and ways to stop."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.errors import UserError
from s2bnn_tf.weights import RunDirectory, save_encoder

keras = tf.keras

Monitor = Callable[[Encoder], float]


class NotFiniteError(UserError):
    """The loss became infinite or not a number."""


class StopOnNotFinite(keras.callbacks.Callback):
    """Ends the run at the first loss that is not finite, before it reaches a checkpoint.

    Raises:
        NotFiniteError: with the step and the last good checkpoint.
    """

    def __init__(self, manager: tf.train.CheckpointManager):
        super().__init__()
        self.manager = manager

    def on_train_batch_end(self, batch, logs=None):
        if math.isfinite(logs["loss"]):
            return
        step = int(self.model.optimizer.iterations)
        good = self.manager.latest_checkpoint
        kept = f"the last good checkpoint is {good}" if good else "there is no checkpoint yet"
        raise NotFiniteError(
            f"The loss is not finite at step {step}; {kept}: lower optimizer.learning_rate "
            "and train again."
        )


class StopOnSignal(keras.callbacks.Callback):
    """On Ctrl-C or SIGTERM, ends training after the current step; a second one ends it at once.

    Attributes:
        stopped: Whether a signal came.
    """

    def __init__(self):
        super().__init__()
        self.stopped = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_):
        self._restore()

    def on_train_batch_end(self, batch, logs=None):
        if self.stopped:
            self.model.stop_training = True

    def _on_signal(self, number, frame):
        self.stopped = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


class Monitors(keras.callbacks.Callback):
    """Scores the student every few epochs and after the last, and adds the scores to the logs.

    Args:
        monitors: By name, a function from the student to a number.
        every: Epochs between scores; 0 for never.
        epochs: Epochs of the whole run.
    """

    def __init__(self, monitors: Mapping[str, Monitor], *, every: int, epochs: int):
        super().__init__()
        self.monitors = monitors if every else {}
        self.every = every
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        if self.monitors and ((epoch + 1) % self.every == 0 or epoch + 1 == self.epochs):
            logs.update(
                {name: float(score(self.model.student)) for name, score in self.monitors.items()}
            )


class MetricsLog(keras.callbacks.Callback):
    """One JSON line an epoch in `metrics.jsonl`, and the same numbers for TensorBoard.

    Lines of epochs that a resumed run repeats are dropped first.

    Args:
        run: Where to write.
        batch_size: Images in a step.
        steps_per_epoch: Steps in an epoch.
        first_epoch: The epoch that training starts or goes on with, from 0.
    """

    def __init__(
        self, run: RunDirectory, *, batch_size: int, steps_per_epoch: int, first_epoch: int
    ):
        super().__init__()
        self.path = run.metrics_path
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.writer = tf.summary.create_file_writer(str(run.tensorboard))
        keep_metrics(self.path, epochs=first_epoch)

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()
        self.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        if int(optimizer.iterations) % self.steps_per_epoch:
            return  # a part of an epoch: it is counted when the run goes on
        seconds = self.trained - self.started
        row = {
            "epoch": epoch + 1,
            "step": int(optimizer.iterations),
            **{name: float(value) for name, value in logs.items()},
            "learning_rate": float(self.model.learning_rate()),
            "images_per_second": round(self.steps * self.batch_size / seconds, 1),
            "seconds": round(seconds, 3),
        }
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        with self.writer.as_default(step=epoch + 1):
            for name in row.keys() - {"epoch", "step"}:
                tf.summary.scalar(name, row[name])
        self.writer.flush()


def keep_metrics(path: Path, *, epochs: int) -> None:
    """Drop the lines of later epochs, and a line that was cut short, from `metrics.jsonl`."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if row["epoch"] <= epochs:
            kept.append(line + "\n")
    partial = path.with_suffix(".partial")
    partial.write_text("".join(kept))
    os.replace(partial, path)


class Checkpoints(keras.callbacks.Callback):
    """Saves the whole state every few epochs and after the last.

    Args:
        manager: What saves and keeps the newest few.
        run: Where the student's weights go.
        every: Epochs between checkpoints.
        epochs: Epochs of the whole run.
    """

    def __init__(
        self, manager: tf.train.CheckpointManager, run: RunDirectory, *, every: int, epochs: int
    ):
        super().__init__()
        self.manager = manager
        self.run = run
        self.every = every
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        if not self.model.stop_training and (
            (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs
        ):
            self.save()

    def save(self) -> None:
        """Write a checkpoint and `encoder.weights.h5`.

        Raises:
            UserError: if they cannot be written; what was there before stays.
        """
        try:
            self.manager.save(checkpoint_number=int(self.model.optimizer.iterations))
            save_encoder(self.model.student, self.run)
        except (OSError, tf.errors.OpError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"Cannot save a checkpoint in {self.run.path}: {reason}; make room and run "
                "the same command again, which goes on from the last checkpoint."
            ) from error


class Progress(keras.callbacks.Callback):
    """Epoch, loss, images a second and the time left, on standard error.

    A line that moves in a terminal; elsewhere one line an epoch.

    Args:
        batch_size: Images in a step.
        steps_per_epoch: Steps in an epoch.
        epochs: Epochs of the whole run.
        first_step: The step that training starts or goes on with.
    """

    def __init__(self, *, batch_size: int, steps_per_epoch: int, epochs: int, first_step: int):
        super().__init__()
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.epochs = epochs
        self.steps_left = epochs * steps_per_epoch - first_step
        self.steps_done = 0
        self.seconds = 0.0
        self.drawn = 0.0
        self.moving = sys.stderr.isatty()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1
        self.last = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        self.steps_done += 1
        if self.steps_done > 1:  # the first step is mostly tracing
            self.seconds += now - self.last
        self.last = now
        if self.moving and now - self.drawn > 0.1:
            self.drawn = now
            print(f"\r{self._line(logs)}\x1b[K", end="", file=sys.stderr, flush=True)

    def on_epoch_end(self, epoch, logs=None):
        start, end = ("\r", "\x1b[K\n") if self.moving else ("", "\n")
        print(f"{start}{self._line(logs)}", end=end, file=sys.stderr, flush=True)

    def _line(self, logs) -> str:
        values = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        line = f"epoch {self.epoch}/{self.epochs}  {values}"
        if self.seconds:
            per_step = self.seconds / (self.steps_done - 1)
            left = (self.steps_left - self.steps_done) * per_step
            line += f"  {self.batch_size / per_step:,.0f} images/s  {_duration(left)} left"
        return line


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s"
