"""Whole runs: the files they leave, and that an interruption of any kind changes nothing."""

from __future__ import annotations

import gc
import json
import logging
import math
import os
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.data import batch_indices, open_source
from s2bnn_tf.errors import UserError
from s2bnn_tf.runs import CheckpointStore, RunDirectory, load_encoder, save_encoder
from s2bnn_tf.training import (
    NotFiniteError,
    Pretrainer,
    TrainingStopped,
    build_pretrainer,
    fitting,
    pretrain,
)
from s2bnn_tf.training.binary_health import SignFlips
from s2bnn_tf.training.stopping import StopOnNotFinite

pytestmark = pytest.mark.both_sets

STEPS = 5  # per epoch: 1437 digits in batches of 256


def test_a_loss_that_rises_while_the_queue_fills_is_explained(
    contrast, change, tmp_path, metrics, caplog
):
    """Of 5 steps an epoch, the queue of 1,400 keys takes 6, and those of 256 keys take one."""
    caplog.set_level(logging.INFO, "s2bnn_tf")
    long = change(contrast, objective={"queue_size": 1400}, optimizer={"learning_rate": 1e-6})
    first, second = metrics(pretrain(long, tmp_path / "long"))
    assert second["loss"] > first["loss"] + 0.1, "although nothing was unlearned"
    assert "queue of 1400 keys starts with random ones and is full after step 6 (epoch 1.2)" in (
        caplog.text
    )
    caplog.clear()
    pretrain(change(long, epochs=3), tmp_path / "long")
    assert "The queue of" not in caplog.text, "it is full when the run is resumed"


def test_the_steps_to_fill_a_queue(contrast, change):
    assert change(contrast, objective={"queue_size": 1025}).steps_to_fill_queue == 5
    begun = change(contrast, student={"init_from": "step1"})
    assert begun.steps_to_fill_queue == 0, "it comes with its queue"
    guided = {"contrastive_weight": 0.0, "distillation_weight": 1.0}
    assert change(contrast, objective=guided).steps_to_fill_queue == 0


class Crash(Exception):
    """An exception that no code of ours expects."""


def crash_after(epochs: int):
    """A monitor that fails at the end of an epoch, before its checkpoint."""
    calls = []

    def monitor(student) -> float:
        calls.append(student)
        if len(calls) == epochs:
            raise Crash
        return 0.5

    return {"knn": monitor}


def at_step(monkeypatch, step: int, action) -> None:
    """Perform an action as soon as the optimizer has made this many steps."""
    original = StopOnNotFinite.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        original(self, batch, logs)
        if int(self.model.optimizer.iterations) == step:
            action()

    monkeypatch.setattr(StopOnNotFinite, "on_train_batch_end", on_train_batch_end)


def checkpoints(run: RunDirectory) -> list[int]:
    return sorted(int(path.stem.split("-")[1]) for path in run.checkpoints.glob("step-*.json"))


def test_a_run_leaves_a_whole_run_directory(step1, contrast, metrics):
    assert replace(step1.config, plugins=()) == contrast
    assert [name.split(".")[-1] for name in step1.config.plugins] == ["conftest"]
    assert checkpoints(step1) == [STEPS, 2 * STEPS]
    assert list(step1.tensorboard.glob("events.*"))
    assert not list(step1.path.glob(".*-*"))
    rows = metrics(step1)
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, STEPS), (2, 2 * STEPS)]
    np.testing.assert_allclose([row["learning_rate"] for row in rows], [3e-3, 1.5e-3], rtol=1e-6)
    for row in rows:
        assert row["loss"] == row["contrastive"] > 0
        assert row["seconds"] > 0
        assert row["images_per_second"] > 0
        assert "knn" not in row
    encoder = load_encoder(step1.path)
    assert all(np.all(np.isfinite(weight)) for weight in encoder.get_weights())


def test_the_encoder_of_a_run_is_the_student_of_its_last_checkpoint(uninterrupted, state):
    stored = {n: v for n, v in state(uninterrupted).items() if n.startswith("student/")}
    weights = load_encoder(uninterrupted.path).get_weights()
    assert len(stored) == len(weights)
    for value in stored.values():
        assert any(np.array_equal(value, weight) for weight in weights)


def test_a_run_with_everything_logs_every_loss(uninterrupted, metrics):
    for row in metrics(uninterrupted):
        total = row["contrastive"] + row["distillation"]
        np.testing.assert_allclose(row["loss"], total, rtol=1e-5)


@pytest.mark.slow
def test_a_crash_between_epochs(both, uninterrupted, change, tmp_path, assert_same_run, metrics):
    watched = change(both, monitor={"knn_every": 1})
    with pytest.raises(Crash):
        pretrain(watched, tmp_path, monitors=crash_after(2))
    assert [row["knn"] for row in metrics(RunDirectory(tmp_path))] == [0.5]
    assert checkpoints(RunDirectory(tmp_path)) == [STEPS]
    run = pretrain(both, tmp_path)  # the monitors may change
    rows = metrics(run)
    rows[0].pop("knn")
    run.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert_same_run(run, uninterrupted, epochs=[1, 2, 3])


def stopped_at(monkeypatch, config, path: Path, step: int, number: int) -> RunDirectory:
    """A run that a signal stopped during this step."""
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        at_step(patch, step, lambda: os.kill(os.getpid(), number))
        with pytest.raises(TrainingStopped, match="everything is saved"):
            pretrain(config, path)
    assert signal.getsignal(number) is before
    run = RunDirectory(path)
    assert checkpoints(run)[-1] == step
    assert run.weights_path.is_file()
    return run


def test_ctrl_c_in_the_middle_of_an_epoch(
    both, uninterrupted, tmp_path, monkeypatch, assert_same_run, metrics, capsys
):
    run = stopped_at(monkeypatch, both, tmp_path, STEPS + 2, signal.SIGINT)
    assert [row["epoch"] for row in metrics(run)] == [1]
    capsys.readouterr()
    # The means of epoch 2 were saved too, so it is logged as a whole.
    assert_same_run(pretrain(both, tmp_path), uninterrupted, epochs=[1, 2, 3])
    assert f"Resuming from step {STEPS + 2}" in capsys.readouterr().err


@pytest.mark.slow
def test_sigterm_at_the_last_step_of_an_epoch(
    both, uninterrupted, tmp_path, monkeypatch, assert_same_run, metrics
):
    run = stopped_at(monkeypatch, both, tmp_path, 2 * STEPS, signal.SIGTERM)
    assert [row["epoch"] for row in metrics(run)] == [1, 2]
    assert_same_run(pretrain(both, tmp_path), uninterrupted, epochs=[1, 2, 3])


@pytest.mark.slow
def test_a_signal_while_a_resumed_epoch_is_scored(both, change, tmp_path, monkeypatch, metrics):
    """No step is left in that epoch to notice it, and no checkpoint was due."""
    sparse = change(both, monitor={"checkpoint_every": 3, "knn_every": 1})
    stopped_at(monkeypatch, sparse, tmp_path, 2, signal.SIGINT)

    def interrupted(student) -> float:
        os.kill(os.getpid(), signal.SIGINT)
        return 0.0

    with pytest.raises(TrainingStopped, match="everything is saved"):
        pretrain(sparse, tmp_path, monitors={"knn": interrupted})
    run = RunDirectory(tmp_path)
    assert checkpoints(run)[-1] == STEPS
    assert [row["epoch"] for row in metrics(run)] == [1]


@pytest.mark.slow
def test_a_full_disk(both, uninterrupted, change, tmp_path, assert_same_run, state):
    """A limit on the size of files acts like a disk that fills up after the first epoch."""
    run = RunDirectory(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    epochs = iter(range(3))

    def fill(student) -> float:
        if next(epochs) == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        return 0.0

    try:
        with pytest.raises(
            UserError,
            match=r"Cannot write a checkpoint to \S*: File too large; free some space",
        ):
            pretrain(change(both, monitor={"knn_every": 1}), tmp_path, monitors={"knn": fill})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert int(state(run)["optimizer/_iterations/.ATTRIBUTES/VARIABLE_VALUE"]) == STEPS
    load_encoder(tmp_path)
    pretrain(both, tmp_path)
    run.metrics_path.write_text(uninterrupted.metrics_path.read_text())  # which logged no score
    assert_same_run(run, uninterrupted, epochs=[1, 2, 3])


def test_a_finished_run_is_left_as_it_is(step1, contrast):
    def files():
        names = [p for p in step1.path.rglob("*") if p.is_file() and "tensorboard" not in p.parts]
        return {path: path.read_bytes() for path in names}

    before = files()
    assert pretrain(contrast, step1.path).path == step1.path
    assert files() == before


def test_no_resume_refuses_a_directory_with_a_run(step1, contrast):
    with pytest.raises(UserError, match="already holds a run; choose another --output-dir"):
        pretrain(contrast, step1.path, resume=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"batch_size": 128}}, r"\(data.batch_size: 256, now 128\); undo that"),
        ({"student": {"width": 2.0}}, r"\(student.width: None, now 2.0\)"),
        ({"teacher": TeacherConfig("a", "b")}, r"\(teacher: None, now {'backbone': 'a', .*}\)"),
        (
            {"epochs": 9, "optimizer": {"name": "sgd"}, "seed": 1},
            r"\(seed: 3, now 1; optimizer.name: adam, now sgd\)",
        ),
    ],
)
def test_another_recipe_is_refused_by_its_key(changes, words, step1, contrast, change):
    before = step1.config_path.read_text()
    with pytest.raises(UserError, match=words):
        pretrain(change(contrast, **changes), step1.path)
    assert step1.config_path.read_text() == before


@pytest.mark.slow
def test_more_epochs_and_another_rate_are_accepted_and_reported(
    step1, contrast, change, tmp_path, metrics, capsys
):
    shutil.copytree(step1.path, tmp_path / "run")
    longer = change(contrast, epochs=3, optimizer={"learning_rate": 1e-3})
    run = pretrain(longer, tmp_path / "run")
    assert (
        "Resuming with a changed recipe: epochs: 2, now 3; "
        "optimizer.learning_rate: 0.003, now 0.001." in capsys.readouterr().err
    )
    assert run.config == longer
    assert [row["epoch"] for row in metrics(run)] == [1, 2, 3]
    with pytest.raises(UserError, match="has trained for 3 epochs already; set epochs to 3 or"):
        pretrain(change(longer, epochs=2), tmp_path / "run")


def test_another_number_of_images_is_refused(step1, contrast, monkeypatch, tmp_path):
    def fewer(spec: str, split: str):
        return open_source(spec, split).select(range(1300))

    shutil.copytree(step1.path, tmp_path / "run")
    monkeypatch.setitem(pretrain.__globals__, "open_source", fewer)
    with pytest.raises(UserError, match="trained on 1437 images and data.source has 1300 now"):
        pretrain(contrast, tmp_path / "run")


@pytest.mark.only_with("2.15", "TensorFlow Addons")
def test_a_run_with_the_earlier_lamb_is_refused_and_can_be_started_from(contrast, change, tmp_path):
    import tensorflow_addons as tfa

    lamb = change(contrast, optimizer={"name": "lamb"})
    run = RunDirectory(tmp_path / "earlier")
    run.create(lamb)
    pretrainer = build_pretrainer(lamb, steps_per_epoch=STEPS)
    pretrainer.compile(optimizer=tfa.optimizers.LAMB(1e-3))
    weights = pretrainer.student.trainable_variables
    pretrainer.optimizer.apply_gradients([(tf.ones_like(weight), weight) for weight in weights])
    state = fitting._checkpoint(pretrainer, SignFlips(pretrainer.student))
    CheckpointStore(run.checkpoints).save(state, 1)
    save_encoder(pretrainer.student, run)
    with pytest.raises(UserError, match="holds the state of another optimizer") as told:
        pretrain(lamb, run.path)
    assert f"student.init_from={run.path}." in str(told.value)
    again = change(lamb, epochs=1, student={"init_from": str(run.path)})
    assert pretrain(again, tmp_path / "again").weights_path.is_file()


def test_a_run_with_lamb_resumes(contrast, change, tmp_path, assert_same_run):
    lamb = change(contrast, optimizer={"name": "lamb"})
    whole = pretrain(lamb, tmp_path / "whole")
    pretrain(change(lamb, epochs=1), tmp_path / "parts")
    assert_same_run(pretrain(lamb, tmp_path / "parts"), whole, epochs=[1, 2])


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(
    step1, contrast, tmp_path, capsys, caplog, assert_same_run
):
    shutil.copytree(step1.path, tmp_path / "run")
    newest = max((tmp_path / "run" / "checkpoints").glob("step-10.data*"))
    newest.write_bytes(newest.read_bytes()[:-7])
    with caplog.at_level(logging.WARNING):
        run = pretrain(contrast, tmp_path / "run")
    assert "The checkpoint of step 10 in" in caplog.text
    assert "Resuming from step 5 " in capsys.readouterr().err
    assert_same_run(run, step1, epochs=[1, 2])


def test_a_directory_that_vanishes(contrast, tmp_path, monkeypatch):
    at_step(monkeypatch, STEPS + 1, lambda: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(UserError, match="has vanished while training"):
        pretrain(contrast, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_signal_before_the_first_step_ends_at_once(contrast, tmp_path, monkeypatch):
    """Tracing a deep network takes minutes on a small machine."""
    steps = []

    def train_step(self, views):
        os.kill(os.getpid(), signal.SIGTERM)
        steps.append(views)

    monkeypatch.setattr(Pretrainer, "train_step", train_step)
    with pytest.raises(TrainingStopped):
        pretrain(contrast, tmp_path)
    assert not steps
    assert checkpoints(RunDirectory(tmp_path)) == []


def test_a_loss_that_is_not_finite_at_once(contrast, change, tmp_path, metrics):
    # Whether the second or the third step overflows depends on the order of additions.
    with pytest.raises(
        NotFiniteError, match=r"not finite at step \d .*; there is no checkpoint yet: lower"
    ):
        pretrain(change(contrast, optimizer={"learning_rate": 1e30}), tmp_path)
    run = RunDirectory(tmp_path)
    assert checkpoints(run) == []
    assert not run.weights_path.exists()
    assert not run.metrics_path.exists()
    report = json.loads((tmp_path / "not_finite.json").read_text())
    step = report["step"]
    order = batch_indices(1437, 256, seed=3, step=step - 1)
    assert report == {
        "step": step,
        "seed": 3,
        "images": order.tolist(),
        "checkpoint": None,
        "means_of_the_epoch": report["means_of_the_epoch"],
    }
    assert not all(math.isfinite(float(v)) for v in report["means_of_the_epoch"].values())


@pytest.mark.slow
def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(
    contrast, change, tmp_path, state
):
    """Weight decay that is too strong flips a weight at every step, larger each time."""
    explosive = {"name": "sgd", "learning_rate": 1.0, "schedule": "constant", "weight_decay": 30.0}
    with pytest.raises(NotFiniteError) as caught:
        pretrain(change(contrast, epochs=4, optimizer=explosive), tmp_path)
    run = RunDirectory(tmp_path)
    (good,) = checkpoints(run)
    step = int(str(caught.value).split("at step ")[1].split(" ")[0])
    assert good == STEPS < step
    assert f"the last good checkpoint is {run.checkpoints / f'step-{good}'}" in str(caught.value)
    for name, value in state(run).items():
        assert np.all(np.isfinite(value)), name
    assert all(np.all(np.isfinite(weight)) for weight in load_encoder(run.path).get_weights())


@pytest.mark.slow
def test_checkpoints_kept_and_how_often(contrast, change, tmp_path):
    sparse = change(contrast, epochs=5, monitor={"checkpoint_every": 2, "checkpoints_kept": 1})
    with pytest.raises(Crash):
        pretrain(change(sparse, monitor={"knn_every": 4}), tmp_path, monitors=crash_after(1))
    assert checkpoints(RunDirectory(tmp_path)) == [2 * STEPS]
    run = pretrain(change(sparse, monitor={"checkpoints_kept": 3}), tmp_path)
    assert checkpoints(run)[-2:] == [4 * STEPS, 5 * STEPS]


def test_monitors_progress_and_a_large_queue_in_a_new_directory(
    contrast, change, tmp_path, metrics, caplog, capsys
):
    widths = []

    def score(student) -> np.float32:
        widths.append(student.embedding_dim)
        return np.float32(len(widths))

    watched = change(contrast, epochs=5, monitor={"knn_every": 2}, objective={"queue_size": 1438})
    with caplog.at_level(logging.WARNING, logger="s2bnn_tf"):
        run = pretrain(watched, tmp_path / "a" / "b", resume=False, monitors={"knn": score})
    # Every second epoch, and the last.
    rows = {row["epoch"]: row.get("knn") for row in metrics(run)}
    assert rows == {1: None, 2: 1, 3: None, 4: 2, 5: 3}
    assert widths == [8, 8, 8]
    assert "queue_size is 1438 and the dataset has 1437 images" in caplog.text
    assert "157 of the 1437 images make no whole batch" in caplog.text
    assert run.config.objective.queue_size == 1437
    assert pretrain(watched, run.path).config.objective.queue_size == 1437  # resumes
    assert "set objective.queue_size to 359 or less" in caplog.text
    # One line per epoch where there is no terminal, and nothing on standard output.
    output = capsys.readouterr()
    assert output.out == ""
    lines = [line for line in output.err.splitlines() if line.startswith("epoch ")]
    assert [line.split("  ")[0] for line in lines] == [f"epoch {n}/5" for n in range(1, 6)]
    assert all("loss " in line and "images/s" in line for line in lines)
    assert lines[-1].endswith("0m00s left")


def test_a_batch_larger_than_the_data_is_refused(contrast, change, tmp_path):
    with pytest.raises(UserError, match="set data.batch_size to 1437 or less"):
        pretrain(change(contrast, data={"batch_size": 2000}), tmp_path / "run")


def test_a_directory_that_cannot_be_made(contrast, tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(UserError, match="Cannot write to .*choose another --output-dir"):
        pretrain(contrast, file / "run")
    assert file.read_text() == "precious"
    with pytest.raises(UserError, match="Cannot write to"):
        pretrain(contrast, file)
    assert file.read_text() == "precious"


def test_a_callback_of_the_callers_own_sees_the_logs_and_ends_the_run_saved(
    contrast, change, tmp_path
):
    class Mine(tf.keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_epoch_end(self, epoch, logs):
            assert isinstance(self.model, Pretrainer)
            self.seen.append((epoch, logs["loss"], logs["knn"]))
            self.model.stop_training = epoch == 1

    mine = Mine()
    # No checkpoint is due where the callback ends the run.
    config = change(contrast, epochs=4, monitor={"knn_every": 1, "checkpoint_every": 4})
    run = pretrain(config, tmp_path, monitors={"knn": lambda student: 0.5}, callbacks=[mine])
    assert [(epoch, knn) for epoch, _, knn in mine.seen] == [(0, 0.5), (1, 0.5)]
    assert checkpoints(run) == [2 * STEPS] and run.weights_path.is_file()
    pretrain(config, tmp_path, monitors={"knn": lambda student: 0.5})
    assert checkpoints(run)[-1] == 4 * STEPS


def test_python_searches_for_cycles_hardly_ever_until_the_first_step_is_done(contrast, tmp_path):
    """Searching through all that starting makes would take a twelfth of the time."""
    own, seen = gc.get_threshold(), []

    class Look(tf.keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(gc.get_threshold())

    pretrain(replace(contrast, epochs=1), tmp_path, callbacks=[Look()])
    assert seen[0][0] > 100 * own[0]
    assert set(seen[1:]) == {own}
    assert gc.get_threshold() == own
