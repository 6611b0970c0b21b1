"""What a run tells while it goes: progress, scores, metrics."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.files import write_text
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.training.run_lock import RunLock
from s2bnn_tf.training.saving import writing_to
from s2bnn_tf.training.stopping import StopOnSignal

keras = tf.keras

Monitor = Callable[[Encoder], float]


class Monitors(keras.callbacks.Callback):
    """Scores the student every few epochs and after the last, and adds the scores to the logs.

    Args:
        monitors: By name, a function from the student to a number.
        stop: Ends a score that a signal interrupts.
        every: Epochs between scores; 0 for never.
        epochs: Epochs of the whole run.
    """

    def __init__(
        self, monitors: Mapping[str, Monitor], stop: StopOnSignal, *, every: int, epochs: int
    ):
        super().__init__()
        self.monitors = monitors if every else {}
        self.stop = stop
        self.every = every
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 != self.epochs and (not self.every or (epoch + 1) % self.every):
            return
        for name, monitor in self.monitors.items():
            score = self.stop.unless_stopped(lambda: monitor(self.model.student_to_read()))  # noqa: B023
            if score is not None:
                logs[name] = float(score)


class MetricsLog(keras.callbacks.Callback):
    """One JSON line an epoch in `metrics.jsonl`, and the same numbers for TensorBoard.

    Lines of epochs that a resumed run repeats are dropped first.

    Args:
        run: Where to write.
        lock: Of the run directory.
        batch_size: Images in a step.
        steps_per_epoch: Steps in an epoch.
        first_epoch: The epoch that training starts or goes on with, from 0.
    """

    def __init__(
        self,
        run: RunDirectory,
        lock: RunLock,
        *,
        batch_size: int,
        steps_per_epoch: int,
        first_epoch: int,
    ):
        super().__init__()
        self.run = run
        self.lock = lock
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
        step = self.model.steps_done()
        if step % self.steps_per_epoch:
            return  # a part of an epoch: it is counted when the run goes on
        seconds = self.trained - self.started
        row = {
            "epoch": epoch + 1,
            "step": step,
            **{name: _plain(value) for name, value in logs.items()},
            "learning_rate": float(self.model.learning_rate()),
            "images_per_second": round(self.steps * self.batch_size / seconds, 1),
            "seconds": round(seconds, 3),
        }
        self.lock.check()
        with writing_to(self.run):
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            with self.writer.as_default(step=epoch + 1):
                for name, value in _flatten(row).items():
                    tf.summary.scalar(name, value)
            self.writer.flush()


def _plain(value):
    """Numbers that JSON takes, also in dictionaries."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return float(value)


def _flatten(row: Mapping) -> dict[str, float]:
    """One name for each number: `flip_rates/block1_conv3x3`."""
    flat = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat.update({f"{name}/{key}": item for key, item in value.items()})
        elif name not in ("epoch", "step"):
            flat[name] = value
    return flat


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
    write_text(path, "".join(kept))


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
        values = "  ".join(
            f"{name} {value:.4g}" for name, value in logs.items() if not isinstance(value, dict)
        )
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
