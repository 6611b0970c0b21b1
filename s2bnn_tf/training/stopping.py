"""Ways to stop: a signal, and numbers that are not finite."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from s2bnn_tf.errors import UserError
from s2bnn_tf.files import write_json
from s2bnn_tf.runs import CheckpointStore, RunDirectory

keras = tf.keras


class TrainingStopped(Exception):
    """Training was stopped by a signal; all is saved."""


class NotFiniteError(UserError):
    """The loss or its gradient became infinite or not a number."""


class StopOnNotFinite(keras.callbacks.Callback):
    """Ends the run at the first loss or gradient that is not finite, before the next checkpoint.

    Leaves `not_finite.json`: the step, its losses, the seed, the images of the batch and the
    checkpoint from which training reaches that step again.

    Args:
        run: Where to write.
        store: The checkpoints.
        seed: Of the run.
        batch: From a step, counted from 0, to what tells its images.

    Raises:
        NotFiniteError: with the step and the last good checkpoint.
    """

    def __init__(
        self,
        run: RunDirectory,
        store: CheckpointStore,
        *,
        seed: int,
        batch: Callable[[int], list[Any]],
    ):
        super().__init__()
        self.run = run
        self.store = store
        self.seed = seed
        self.batch = batch

    def on_train_batch_end(self, batch, logs=None):
        if all(math.isfinite(value) for value in logs.values()):
            return
        step = self.model.steps_done()
        good = self.store.steps()[-1:]
        prefix = str(self.store.folder / f"step-{good[0]}") if good else None
        report = {
            "step": step,
            "seed": self.seed,
            "images": self.batch(step - 1),
            "checkpoint": prefix,
            "means_of_the_epoch": {name: str(value) for name, value in logs.items()},
        }
        path = self.run.path / "not_finite.json"
        write_json(path, report)
        what = "loss" if not math.isfinite(logs["loss"]) else "gradient"
        kept = f"the last good checkpoint is {prefix}" if good else "there is no checkpoint yet"
        raise NotFiniteError(
            f"The {what} is not finite at step {step} ({path} tells its batch); {kept}: lower "
            "optimizer.learning_rate and run again, which goes on from there."
        )


class StopOnSignal(keras.callbacks.Callback):
    """On Ctrl-C or SIGTERM, ends training after the current step; a second one ends it at once.

    Args:
        agree: From whether this process was told to stop to whether any was: several workers
            stop at the same step.

    Attributes:
        stopped: Whether a signal came.
        stepped: Whether a step was done, so that there is something to save.
    """

    def __init__(self, agree: Callable[[bool], bool] = bool):
        super().__init__()
        self.agree = agree
        self.stopped = False
        self.stepped = False
        self._interruptible = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_):
        self._restore()

    def on_train_begin(self, logs=None):
        self._interruptible = not self.stepped  # tracing the first step can take minutes

    def on_train_batch_end(self, batch, logs=None):
        self.stepped, self._interruptible = True, False
        self.stopped = self.agree(self.stopped)
        if self.stopped:
            self.model.stop_training = True

    def unless_stopped(self, function: Callable[[], Any]) -> Any:
        """Call what a signal ends at once, since nothing is lost with it; None if one came."""
        try:
            self._interruptible = True
            return None if self.stopped else function()
        except Interrupted:
            return None
        finally:
            self._interruptible = False

    def _on_signal(self, number, frame):
        self.stopped = True
        self._restore()
        if self._interruptible:
            raise Interrupted

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


class Interrupted(BaseException):
    """Carries a signal out of code that may be left at any point."""
