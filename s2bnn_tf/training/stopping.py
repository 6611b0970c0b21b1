"""Reasons to stop early: a signal, and numbers that are not finite."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

import tensorflow as tf

from s2bnn_tf.errors import UserError
from s2bnn_tf.files import write_json
from s2bnn_tf.interrupts import PATIENCE, SignalWatch, end, say
from s2bnn_tf.runs import CheckpointStore, RunDirectory

keras = tf.keras

Result = TypeVar("Result")


class TrainingStopped(Exception):
    """Training was stopped by a signal; everything is saved."""


class NotFiniteError(UserError):
    """The loss or its gradient became infinite or not a number."""


class StopOnNotFinite(keras.callbacks.Callback):
    """End the run at the first loss or gradient that is not finite, before the next checkpoint.

    `not_finite.json` then holds the step, its losses, the seed, the images of the batch and the
    checkpoint from which training reaches that step again.

    Args:
        run: The run directory to write to.
        store: The checkpoints of the run.
        seed: The seed of the run.
        batch: A function from a step, counted from 0, to a list that identifies its images.

    Raises:
        NotFiniteError: If a number is not finite; the message names the step and the last good
            checkpoint.
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

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
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
            f"The {what} is not finite at step {step} ({path} lists the images of the batch); "
            f"{kept}: lower optimizer.learning_rate and run the same command again, which "
            "resumes from there."
        )


class StopOnSignal(keras.callbacks.Callback):
    """End training after the current step on Ctrl-C or SIGTERM; a second signal ends it at once.

    A signal is answered within a second, however long the step takes. Outside of the main
    thread, where Python handles no signals, training is not interrupted.

    Args:
        agree: A function that returns whether any worker passed True to it, so that all
            workers stop at the same step.

    Attributes:
        stopped: Whether a signal arrived.
        stepped: Whether a step was finished, so that there is something to save.
    """

    def __init__(self, agree: Callable[[bool], bool] = bool):
        super().__init__()
        self.agree = agree
        self.stopped = False
        self.stepped = False
        self._interruptible = False
        self._before: dict[int, Any] = {}
        self._watch = SignalWatch(self._answer)
        self._answered = False
        self._reached = threading.Event()  # the main thread has seen the signal

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        self._watch.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.__exit__()
        self._restore()

    def on_train_begin(self, logs: dict[str, Any]) -> None:
        self._interruptible = not self.stepped  # tracing the first step can take minutes

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.stepped, self._interruptible = True, False
        self.stopped = self.agree(self.stopped)
        if self.stopped:
            self.model.stop_training = True

    def unless_stopped(self, function: Callable[[], Result]) -> Result | None:
        """Call a function that a signal may abandon halfway, because nothing is lost with it.

        Args:
            function: The function to call.

        Returns:
            Its result, or None if a signal arrived before or during the call.
        """
        try:
            self._interruptible = True
            return None if self.stopped else function()
        except Interrupted:
            return None
        finally:
            self._interruptible = False

    def _answer(self, number: int) -> None:
        """Answer a signal while the main thread may be inside of a long step."""
        if self._answered:
            end("Ended; the same command resumes from the last checkpoint.")
        self._answered = True
        if self._interruptible and self._reached.wait(PATIENCE):
            return
        if self._interruptible and not self.stepped:
            end("Ended before the first step, so there was nothing to save.")
        say("Stopping after this step; once more ends at once.")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._reached.set()
        self.stopped = True
        self._restore()
        if self._interruptible:
            raise Interrupted

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


class Interrupted(BaseException):
    """Carries a signal out of code that may be abandoned at any point."""
