"""Scores of the student while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.training.stopping import StopOnSignal

keras = tf.keras

Monitor = Callable[[Encoder], float | Mapping[str, float]]


class Monitors(keras.callbacks.Callback):
    """Score the student every few epochs and after the last, and add the scores to the logs.

    Args:
        monitors: Functions from the student to a number, by name. One that returns several
            numbers gives each its own name, and its name here is not used.
        stop: The callback that abandons a score when a signal arrives.
        every: The number of epochs between scores; 0 for no scores at all.
        epochs: The number of epochs of the whole run.
    """

    def __init__(
        self, monitors: Mapping[str, Monitor], stop: StopOnSignal, *, every: int, epochs: int
    ):
        super().__init__()
        self.monitors = monitors if every else {}
        self.stop = stop
        self.every = every
        self.epochs = epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if epoch + 1 != self.epochs and (not self.every or (epoch + 1) % self.every):
            return
        for name, monitor in self.monitors.items():
            score = self.stop.unless_stopped(partial(self._score, monitor))
            if score is not None:
                scores = score if isinstance(score, Mapping) else {name: score}
                logs.update({key: float(value) for key, value in scores.items()})

    def _score(self, monitor: Monitor) -> float | Mapping[str, float]:
        return monitor(self.model.student_to_read())
