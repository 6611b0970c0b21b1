"""Several replicas end with the same weights as one: devices, and two and three processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.errors import UserError
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.training import pretrain
from s2bnn_tf.training.distribution import _resolver, is_chief, open_strategy

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("replicas.py")
DEADLINE = 600  # seconds, for a run that takes thirty on an idle machine


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start `replicas.py`, one process per worker; those that still run at the end are killed."""
    folder, started = tmp_path_factory.mktemp("replicas"), []

    def run(name: str, distribution: str, *options: str, workers: int = 1):
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
        addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
        for opened in sockets:
            opened.close()
        processes = []
        for index in range(workers):
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
            if distribution == "multi_worker":
                task = {"type": "worker", "index": index}
                cluster = {"cluster": {"worker": addresses}, "task": task}
                environment["TF_CONFIG"] = json.dumps(cluster)
            command = [sys.executable, str(SCRIPT), str(folder / name), distribution, *options]
            with open(folder / f"{name}.{index}.log", "w") as log:
                process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            process.log = Path(log.name)
            processes.append(process)
        started.extend(processes)
        return RunDirectory(folder / name), processes

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def finish(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        assert process.wait(DEADLINE) == 0, process.log.read_text()
    assert f"replicas {max(2, len(processes))}" in processes[0].log.read_text()


@pytest.fixture(scope="module")
def alone(start) -> RunDirectory:
    run, (process,) = start("alone", "none", "3")
    assert process.wait(DEADLINE) == 0, process.log.read_text()
    return run


@pytest.fixture
def assert_same(alone, state, metrics):
    """The same student, momentum encoder, queue and losses."""

    def check(run: RunDirectory) -> None:
        ours, theirs = state(run), state(alone)
        assert ours.keys() == theirs.keys()
        for name in ours:
            if "means" not in name:  # on several replicas each holds its part of the sum
                np.testing.assert_allclose(ours[name], theirs[name], atol=2e-4, err_msg=name)
        for mine, yours in zip(metrics(run), metrics(alone), strict=True):
            for name in ("loss", "contrastive", "gradient_norm", "learning_rate"):
                np.testing.assert_allclose(mine[name], yours[name], rtol=1e-3, err_msg=name)

    return check


@pytest.mark.slow
def test_two_devices_and_a_batch_in_parts(start, assert_same):
    run, processes = start("mirrored", "mirrored", "3", "optimizer.accumulation_steps=4")
    finish(processes)
    assert_same(run)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_processes_one_of_which_is_killed(workers, start, assert_same):
    name = f"killed{workers}"
    run, processes = start(name, "multi_worker", "3", workers=workers)
    wait_for_checkpoint(run, processes)
    processes[1].send_signal(signal.SIGKILL)
    for other in (processes[0], *processes[2:]):  # they stop waiting and explain why
        assert other.wait(DEADLINE) not in (0, None)
        assert "Another worker has gone" in other.log.read_text(), other.log.read_text()
    run, processes = start(name, "multi_worker", "3", workers=workers)
    finish(processes)
    assert_same(run)


def wait_for_checkpoint(run: RunDirectory, processes: list[subprocess.Popen]) -> None:
    end = time.monotonic() + DEADLINE
    while not list(run.checkpoints.glob("step-*.json")):
        assert time.monotonic() < end and processes[0].poll() is None, processes[0].log.read_text()
        time.sleep(0.005)


def test_the_workers_of_a_slurm_job_step(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    step = {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
        "SLURM_STEP_NODELIST": "node[7-8]",
        "CUDA_VISIBLE_DEVICES": "",
    }
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    resolver = _resolver()
    workers = resolver.cluster_spec().job_tasks("worker")
    assert [address.split(":")[0] for address in workers] == ["node7", "node7", "node8", "node8"]
    assert resolver.get_task_info() == ("worker", 2)


def test_multi_worker_without_a_cluster(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="neither TF_CONFIG nor SLURM_PROCID is set; check"):
        open_strategy("multi_worker")


def test_one_device_writes():
    strategy = open_strategy("none")
    assert strategy is tf.distribute.get_strategy()
    assert is_chief(strategy)


def test_a_batch_that_cannot_be_shared(contrast, change, tmp_path, monkeypatch):
    strategy = tf.distribute.get_strategy()
    monkeypatch.setattr(type(strategy), "num_replicas_in_sync", 3)
    with pytest.raises(UserError, match="batch_size is 256, which cannot be divided by 3"):
        pretrain(contrast, tmp_path / "run", strategy=strategy)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "cluster is missing"),
        ("[1]", "list where an object is expected"),
        ("{", "Expecting property name"),
        ('{"cluster": {"worker": ["a:1"]}}', "task.type is missing"),
        ('{"cluster": {"worker": "a:1"}, "task": {"type": "worker"}}', "cluster is .*, not"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}',
            "a task of type 'evaluator' does not train",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "the cluster has no worker 1",
        ),
    ],
)
def test_a_cluster_that_is_none(text, reason, monkeypatch):
    """TensorFlow takes an empty TF_CONFIG for a single machine, which would train alone."""
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=f"multi_worker cannot start: .*{reason}.*check TF_CONFIG"):
        open_strategy("multi_worker")


def test_a_slurm_job_step_that_is_none(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TF_CONFIG"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_PROCID", "0")
    expected = "variable 'SLURM_STEP_NUM_TASKS' is not set; check"
    with pytest.raises(UserError, match=expected):
        open_strategy("multi_worker")
