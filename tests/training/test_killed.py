"""A process that is really killed, and then the same command again.

`benchmarks/kill_training.py` does the same more often, at random moments.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kill_training
import pytest

from s2bnn_tf.runs import RunDirectory

ROOT = Path(__file__).parents[2]
RECIPE = """
seed: 1
epochs: 6
deterministic: true
data: {source: digits, image_size: 16, batch_size: 256}
student: {backbone: resnet18, width: 0.05, embedding_dim: 8}
objective: {contrastive_weight: 1, distillation_weight: 0, queue_size: 400, momentum: 0.9}
optimizer: {learning_rate: 1e-3, weight_decay: 1e-4}
monitor: {knn_every: 0, checkpoint_minutes: 0.001}
"""
DEADLINE = 600  # seconds, for a step that takes ten on an idle machine


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start `s2bnn train` on the recipe; processes that still run at the end are killed."""
    folder = tmp_path_factory.mktemp("killed")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE)
    started = []

    def run(name: str) -> tuple[subprocess.Popen, RunDirectory]:
        command = [sys.executable, "-m", "s2bnn_tf", "train", str(recipe)]
        process = subprocess.Popen(
            [*command, "--output-dir", str(folder / name)],
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, RunDirectory(folder / name)

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors
    return errors


def wait_for_epoch(process: subprocess.Popen, run: RunDirectory, epoch: int) -> None:
    """Return when metrics.jsonl has the line of this epoch."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if run.metrics_path.is_file() and run.metrics_path.read_text().count("\n") >= epoch:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    pytest.fail(f"no epoch {epoch} within {DEADLINE} s")


def wait_for_unfinished_checkpoint(process: subprocess.Popen, run: RunDirectory) -> None:
    """Return when a checkpoint is being written."""
    while not kill_training.unfinished_checkpoint(run.path):
        assert process.poll() is None, process.communicate()[1]


@pytest.mark.slow
def test_killed_and_started_again_is_as_if_nothing_had_happened(start, metrics):
    process, undisturbed = start("undisturbed")
    finish(process)
    assert len(metrics(undisturbed)) == 6

    for wait, number in (
        (lambda *run: wait_for_epoch(*run, 1), signal.SIGKILL),
        (wait_for_unfinished_checkpoint, signal.SIGKILL),
        (lambda *run: wait_for_epoch(*run, 3), signal.SIGTERM),
    ):
        process, run = start("killed")
        wait(process, run)
        process.send_signal(number)
        assert process.wait(DEADLINE) == (130 if number == signal.SIGTERM else -number)
    process, run = start("killed")
    errors = finish(process)
    assert "Resuming from step" in errors
    # Every bit: the student, its optimizer, the momentum encoder, the queue, what was logged.
    expected, found = (kill_training.result(r.path) for r in (undisturbed, run))
    assert sorted(expected) == sorted(found) and len(expected) > 100
    assert not [name for name in expected if expected[name] != found[name]]


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(start, metrics):
    process, run = start("interrupted")
    wait_for_epoch(process, run, 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert "everything is saved" in errors
    assert "The same command resumes from there." in errors
    assert "Traceback" not in errors
    assert run.weights_path.is_file()
    process, run = start("interrupted")
    finish(process)
    assert [row["epoch"] for row in metrics(run)] == [1, 2, 3, 4, 5, 6]
