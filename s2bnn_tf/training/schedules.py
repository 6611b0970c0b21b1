"""Learning rates that change once per epoch, as in the paper, or with every step."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from s2bnn_tf.config import OptimizerConfig

keras = tf.keras


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class EpochSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate for each epoch, after a warm-up.

    With `t = epoch / epochs`, constant within an epoch:

    - `linear`: `peak * (1 - t)`, as in the paper
    - `cosine`: `peak * (1 + cos(pi * t)) / 2`
    - `step`: `peak`, times 0.1 from `t = 0.6`, and times 0.1 again from `t = 0.8`
    - `constant`: `peak`

    During the first `warmup_epochs` it grows linearly with every step instead, beginning at
    `peak / warmup_steps`.

    Args:
        peak: The learning rate that the schedule starts from.
        schedule: One of the names above.
        epochs: The number of epochs of the run.
        steps_per_epoch: The number of steps in an epoch.
        warmup_epochs: The number of warm-up epochs, fewer than `epochs`.

    References:
        S2-BNN, https://arxiv.org/abs/2102.08946 (the linear schedule).
    """

    def __init__(
        self,
        peak: float,
        *,
        schedule: str = "linear",
        epochs: int,
        steps_per_epoch: int,
        warmup_epochs: int = 0,
    ):
        self.peak = peak
        self.schedule = schedule
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.warmup_epochs = warmup_epochs

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.int64)
        epoch = step // self.steps_per_epoch
        t = tf.cast(epoch, tf.float32) / self.epochs
        factor = {
            "linear": lambda: 1.0 - t,
            "cosine": lambda: 0.5 * (1.0 + tf.cos(math.pi * t)),
            # In whole epochs, since 0.6 has no exact binary form.
            "step": lambda: (
                tf.where(5 * epoch < 3 * self.epochs, 1.0, 0.1)
                * tf.where(5 * epoch < 4 * self.epochs, 1.0, 0.1)
            ),
            "constant": lambda: tf.ones_like(t),
        }[self.schedule]()
        warmup_steps = self.warmup_epochs * self.steps_per_epoch
        if warmup_steps:
            rising = tf.cast(step + 1, tf.float32) / warmup_steps
            factor = tf.where(step < warmup_steps, rising, factor)
        return self.peak * factor

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "schedule": self.schedule,
            "epochs": self.epochs,
            "steps_per_epoch": self.steps_per_epoch,
            "warmup_epochs": self.warmup_epochs,
        }


def build_schedule(
    config: OptimizerConfig, *, epochs: int, steps_per_epoch: int, by_step: bool = False
) -> EpochSchedule:
    """Build the learning rate schedule of a recipe.

    Args:
        config: The recipe's optimizer.
        epochs: The number of epochs of the run.
        steps_per_epoch: The number of steps in an epoch.
        by_step: Whether the rate changes with every step, and the warm-up takes a tenth of the
            steps at most: a run that sees its images once or twice has no epochs to decay over.
    """
    warmup = config.warmup_epochs
    if by_step:
        steps = epochs * steps_per_epoch
        warmup = min(warmup * steps_per_epoch, steps // 10)
        epochs, steps_per_epoch = steps, 1
    return EpochSchedule(
        config.learning_rate,
        schedule=config.schedule,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        warmup_epochs=warmup,
    )
