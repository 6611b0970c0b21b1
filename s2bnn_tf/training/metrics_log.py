"""One line of numbers per epoch, in `metrics.jsonl` and for the loggers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from s2bnn_tf.files import write_text
from s2bnn_tf.locks import DirectoryLock
from s2bnn_tf.reading import Number, read_json_lines
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.training.loggers import Logger
from s2bnn_tf.training.saving import writing_to

keras = tf.keras


class MetricsLog(keras.callbacks.Callback):
    """Write one JSON line per epoch to `metrics.jsonl`, and give the same numbers to loggers.

    Lines of epochs that a resumed run repeats are dropped first.

    Args:
        run: The run directory to write to.
        lock: The lock held on the run directory.
        loggers: Who else gets the numbers.
        batch_size: The number of images in a step.
        steps_per_epoch: The number of steps in an epoch.
        first_epoch: The epoch that training starts in or resumes, counted from 0.
    """

    def __init__(
        self,
        run: RunDirectory,
        lock: DirectoryLock,
        loggers: Sequence[Logger] = (),
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
        self.loggers = loggers
        keep_metrics(self.path, epochs=first_epoch)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any]) -> None:
        self.started = time.perf_counter()
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.steps += 1
        self.trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        step = self.model.steps_done()
        if step % self.steps_per_epoch:
            return  # stopped within the epoch, which the resumed run logs as a whole
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
        with writing_to(self.run, "the metrics"):
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            for logger in self.loggers:
                logger.log(epoch + 1, _flatten(row))


def keep_metrics(path: Path, *, epochs: int) -> None:
    """Drop the lines of later epochs, and a line that was cut short, from `metrics.jsonl`."""
    try:
        rows = read_json_lines(path, {"epoch": Number(whole=True)})
    except FileNotFoundError:
        return
    kept = [json.dumps(row) + "\n" for row in rows if row["epoch"] <= epochs]
    write_text(path, "".join(kept))


def _plain(value: Any) -> Any:
    """Turn numbers into those that JSON takes, also inside dictionaries."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return float(value)


def _flatten(row: Mapping[str, Any]) -> dict[str, float]:
    """Give each number a separate name, as in `flip_rates/block1_conv3x3`."""
    flat = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat.update({f"{name}/{key}": item for key, item in value.items()})
        elif name not in ("epoch", "step"):
            flat[name] = value
    return flat
