"""Training that counts in steps, for folders of any size."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.data import open_source
from s2bnn_tf.runs import CheckpointStore
from s2bnn_tf.training import pretrain, time_steps
from s2bnn_tf.training.pretrain import run_length

keras = tf.keras


@pytest.fixture(scope="module")
def digits():
    return open_source("digits", "train")  # 1,437 images


@pytest.mark.parametrize(
    ("batch", "steps", "expected"),
    [
        (64, None, (200, 22)),  # epochs count
        (64, 220, (9, 25)),  # a pass has 22 steps; an epoch of the logs has 25 at least
        (1000, 100, (4, 25)),
        (1000, 10, (1, 10)),
        (2, 700, (1, 700)),  # less than a pass
        (8, 700, (4, 179)),
        (2, 10000, (14, 718)),
    ],
)
def test_epochs_of_the_logs(batch, steps, expected, contrast, change, digits):
    config = change(contrast, steps=steps, epochs=200, data={"batch_size": batch})
    assert run_length(config, digits) == expected


def test_an_epoch_is_at_most_a_thousand_steps(contrast, change, digits):
    config = change(contrast, steps=5000, data={"batch_size": 2})
    many = digits.select(list(range(1437)) * 3)
    assert run_length(config, many) == (5, 1000)


def test_a_run_of_less_than_a_pass_warms_up_and_decays(contrast, change, tmp_path):
    optimizer = {"name": "sgd", "learning_rate": 0.1, "schedule": "cosine", "warmup_epochs": 1}
    config = change(contrast, steps=20, data={"batch_size": 2}, optimizer=optimizer)
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs):
            rates.append(float(self.model.optimizer.learning_rate))

    pretrain(config, tmp_path, callbacks=[Rates()])
    decay = [0.05 * (1 + math.cos(math.pi * step / 20)) for step in range(2, 20)]
    np.testing.assert_allclose(rates, [0.05, 0.1, *decay], rtol=1e-5)


def test_a_run_ends_after_its_steps(contrast, change, tmp_path):
    config = change(contrast, steps=30, epochs=1000)
    run = pretrain(config, tmp_path)
    lines = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    assert lines[-1]["step"] == CheckpointStore(run.checkpoints).newest().step >= 30
    assert lines[-1]["learning_rate"] < lines[0]["learning_rate"]
    assert run.config.steps == 30


def test_steps_are_timed_and_forgotten(contrast):
    cost = time_steps(contrast, steps=2)
    assert cost.seconds > 0 and cost.start_seconds > 0
