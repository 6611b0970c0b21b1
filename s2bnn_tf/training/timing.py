"""How long a step of a recipe takes here."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import tensorflow as tf

from s2bnn_tf.config import Config
from s2bnn_tf.data import open_source, plain_errors
from s2bnn_tf.training.build import build_pretrainer
from s2bnn_tf.training.feeding import distributed_views
from s2bnn_tf.training.guidance import rehearse_guidance

keras = tf.keras


class Cost(NamedTuple):
    """What a step costs.

    Attributes:
        seconds: The time of a step, the median of a few.
        start_seconds: The time until the first step is done: networks are built and traced.
        crop_seconds: The time that the teacher takes to store the target of a crop; 0 if it does
            not.
    """

    seconds: float
    start_seconds: float
    crop_seconds: float = 0.0


class _Times(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.moments: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.moments.append(time.perf_counter())


def time_steps(config: Config, *, steps: int = 6) -> Cost:
    """Train for a few steps, and forget them.

    Args:
        config: The recipe.
        steps: How many steps are timed, after two that are not.

    Raises:
        UserError: If the recipe is not possible here.
    """
    started = time.perf_counter()
    strategy = tf.distribute.get_strategy()
    source = open_source(config.data.source, "train")
    guidance, crop_seconds = rehearse_guidance(config, source)
    pretrainer = build_pretrainer(
        config, steps_per_epoch=steps + 2, strategy=strategy, guidance=guidance
    )
    views = distributed_views(
        strategy,
        source,
        config,
        views=pretrainer.views,
        first_step=0,
        stored=guidance.stored,
    )
    times = _Times()
    with plain_errors():
        pretrainer.fit(views, epochs=1, steps_per_epoch=steps + 2, callbacks=[times], verbose=0)
    seconds = sorted(b - a for a, b in zip(times.moments[1:], times.moments[2:]))
    return Cost(seconds[len(seconds) // 2], times.moments[0] - started, crop_seconds)
