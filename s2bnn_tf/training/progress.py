"""The progress of a run, as the terminal shows it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from s2bnn_tf.progress import NotebookBar, in_notebook

keras = tf.keras


class TerminalProgress(keras.callbacks.Callback):
    """Show epoch, losses, images per second and the time left on standard error.

    A terminal shows one line that is redrawn, a notebook a bar, and a log file gets one line per
    epoch.

    Args:
        batch_size: The number of images in a step.
        steps_per_epoch: The number of steps in an epoch.
        epochs: The number of epochs of the whole run.
        first_step: The step that training starts or resumes at, counted from 0.
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
        self.redraws = sys.stderr.isatty()
        self.bar = NotebookBar() if in_notebook() else None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any]) -> None:
        self.epoch = epoch + 1
        self.last = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        now = time.perf_counter()
        self.steps_done += 1
        if self.steps_done > 1:  # the first step is mostly tracing
            self.seconds += now - self.last
        self.last = now
        if now - self.drawn <= 0.1:
            return
        if self.bar is not None:
            self._draw(self.bar, logs)
        elif self.redraws:
            print(f"\r{self._line(logs)}\x1b[K", end="", file=sys.stderr, flush=True)
        self.drawn = now

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if self.bar is not None:
            self._draw(self.bar, logs)
            return
        start, end = ("\r", "\x1b[K\n") if self.redraws else ("", "\n")
        print(f"{start}{self._line(logs)}", end=end, file=sys.stderr, flush=True)

    def _draw(self, bar: NotebookBar, logs: Mapping[str, Any]) -> None:
        bar.show(self._line(logs), self.steps_done, self.steps_left, work="training")

    def _line(self, logs: Mapping[str, Any]) -> str:
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
