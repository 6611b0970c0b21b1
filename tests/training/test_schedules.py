"""Learning rates of every epoch against plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.config import OptimizerConfig
from s2bnn_tf.training import EpochSchedule
from s2bnn_tf.training.schedules import build_schedule

PLAIN = {
    "linear": lambda epoch, epochs: 1 - epoch / epochs,
    "cosine": lambda epoch, epochs: (1 + math.cos(math.pi * epoch / epochs)) / 2,
    # In hundredths, so that 60 % of the epochs is exactly that.
    "step": lambda epoch, epochs: (
        1.0 if 100 * epoch < 60 * epochs else 0.1 if 100 * epoch < 80 * epochs else 0.01
    ),
    "constant": lambda epoch, epochs: 1.0,
}


def plain_rate(step, peak, schedule, epochs, steps_per_epoch, warmup_epochs) -> float:
    warmup_steps = warmup_epochs * steps_per_epoch
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * PLAIN[schedule](step // steps_per_epoch, epochs)


@pytest.mark.parametrize("warmup_epochs", [0, 2])
@pytest.mark.parametrize(("epochs", "steps_per_epoch"), [(10, 3), (7, 1), (200, 2)])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_every_step(name, epochs, steps_per_epoch, warmup_epochs):
    lengths = {"epochs": epochs, "steps_per_epoch": steps_per_epoch, "warmup_epochs": warmup_epochs}
    schedule = EpochSchedule(0.3, schedule=name, **lengths)
    steps = range(epochs * steps_per_epoch)
    rates = schedule(tf.constant(steps, tf.int64))  # all at once: it works elementwise
    expected = [plain_rate(step, 0.3, name, **lengths) for step in steps]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-8)
    epochs_after = np.array(rates)[warmup_epochs * steps_per_epoch :].reshape(-1, steps_per_epoch)
    assert np.all(epochs_after == epochs_after[:, :1])  # constant within an epoch


@pytest.mark.parametrize("epochs", [5, 10, 15, 35, 100, 105, 200])
def test_the_steps_are_at_60_and_80_percent_exactly(epochs):
    schedule = EpochSchedule(1.0, schedule="step", epochs=epochs, steps_per_epoch=4)
    rates = [round(float(schedule(4 * epoch)), 6) for epoch in range(epochs)]
    assert rates == [1.0] * (epochs * 3 // 5) + [0.1] * (epochs // 5) + [0.01] * (epochs // 5)


def test_the_last_epoch_still_learns():
    for name in PLAIN:
        assert float(EpochSchedule(1.0, schedule=name, epochs=4, steps_per_epoch=2)(7)) > 0


def test_warm_up_ends_at_the_peak_of_its_own_steps():
    schedule = EpochSchedule(1.0, schedule="constant", epochs=9, steps_per_epoch=4, warmup_epochs=2)
    rates = [float(schedule(step)) for step in range(10)]
    np.testing.assert_allclose(rates, [k / 8 for k in range(1, 9)] + [1, 1], rtol=1e-6)


def test_in_a_graph_and_from_its_config():
    schedule = EpochSchedule(0.5, schedule="cosine", epochs=9, steps_per_epoch=4, warmup_epochs=1)
    again = EpochSchedule.from_config(schedule.get_config())
    compiled = tf.function(again)
    for step in (0, 3, 4, 17, 35):
        np.testing.assert_allclose(compiled(tf.constant(step, tf.int64)), schedule(step), rtol=1e-6)


def test_late_steps_of_a_long_run_are_exact():
    """Float32 counts to 16.8 million only, and this run has 52 million steps.

    200 epochs of ImageNet in batches of 256 are 1.0 million.
    """
    steps_per_epoch = 2**19 + 3  # so that float32 takes the last step of an epoch for the next
    schedule = EpochSchedule(1.0, schedule="linear", epochs=100, steps_per_epoch=steps_per_epoch)
    before, at = (float(schedule(99 * steps_per_epoch - late)) for late in (1, 0))
    np.testing.assert_allclose([before, at], [0.02, 0.01], rtol=1e-4)


def test_the_schedule_of_a_recipe():
    config = OptimizerConfig(learning_rate=0.2, schedule="cosine", warmup_epochs=1)
    schedule = build_schedule(config, epochs=5, steps_per_epoch=7)
    assert schedule.get_config() == {
        "peak": 0.2,
        "schedule": "cosine",
        "epochs": 5,
        "steps_per_epoch": 7,
        "warmup_epochs": 1,
    }
