"""Two runs in one directory, and a directory that goes away."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.errors import UserError
from s2bnn_tf.files import save_arrays
from s2bnn_tf.locks import DirectoryLock
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.training import pretrain

HOLD = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
os.write(file, b'{"process": %d, "machine": "here"}' % os.getpid())
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Start another process that holds the directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_until_the_first_is_gone(holder, contrast, tmp_path):
    words = rf"in use by another training run \(process {holder.pid} on here\); wait until"
    with pytest.raises(UserError, match=words):
        pretrain(contrast, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    holder.kill()  # without a chance to clean up
    holder.wait()
    with DirectoryLock(tmp_path):
        pass


def test_who_waits_gets_the_directory_when_the_other_is_gone(holder, tmp_path):
    said = []

    def end(what: str) -> None:
        said.append(what)
        os.unlink(tmp_path / ".lock")  # as a holder does that wrote nothing else
        holder.kill()
        holder.wait()

    with DirectoryLock(tmp_path, waiting=end) as lock:
        lock.check()
    assert len(said) == 1 and said[0].endswith("on here); waiting until that has ended")


def test_a_lock_that_vanishes_before_it_is_taken_is_made_again(tmp_path, monkeypatch):
    path, lock = tmp_path / "a" / ".lock", fcntl.flock

    def late(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        os.unlink(path)  # as the last holder does, between the opening and the lock
        path.parent.rmdir()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with DirectoryLock(path.parent) as held:
        held.check()


def test_a_directory_into_which_nothing_came_is_removed(tmp_path):
    with DirectoryLock(tmp_path / "runs" / "a"):
        assert (tmp_path / "runs" / "a" / ".lock").is_file()
        (tmp_path / "runs" / "a" / "targets" / "of" / "nothing").mkdir(parents=True)
    assert not (tmp_path / "runs").exists()
    with DirectoryLock(tmp_path / "b"):
        (tmp_path / "b" / "config.yaml").touch()
        (tmp_path / "b" / "targets").mkdir()
        (tmp_path / "b" / "wandb" / "empty").mkdir(parents=True)
        (tmp_path / "b" / "wandb" / "file").touch()
    assert everything_in(tmp_path / "b") == {
        *(".lock", "config.yaml", "wandb", "wandb/empty", "wandb/file")
    }


def test_what_was_there_before_stays(tmp_path):
    (tmp_path / "notes").mkdir()  # empty, and not ours
    with DirectoryLock(tmp_path):
        (tmp_path / "targets").mkdir()
        (tmp_path / "targets" / "loop").symlink_to(tmp_path)
    assert everything_in(tmp_path) == {".lock", "notes", "targets", "targets/loop"}
    (tmp_path / "targets" / "loop").unlink()
    (tmp_path / ".lock").unlink()
    with DirectoryLock(tmp_path):
        (tmp_path / "eval").mkdir()
    assert everything_in(tmp_path) == {"notes", "targets"}


@pytest.mark.parametrize(
    ("features", "begin"),
    [
        (np.ones((1437, 4, 1)), None),
        (np.full((1437, 4), np.nan), None),
        (np.ones((1000, 4)), None),
        (np.ones((1437, 4)), "no run"),  # refused after its teacher was accepted
    ],
    ids=["rank", "not finite", "missing pictures", "later"],
)
def test_a_refused_run_leaves_nothing(features, begin, contrast, change, tmp_path):
    save_arrays(tmp_path / "f.npz", {"features": features})
    guided = change(
        contrast,
        teacher=TeacherConfig(weights=str(tmp_path / "f.npz")),
        objective={"contrastive_weight": 0.0, "distillation_weight": 1.0},
        student={"init_from": begin},
    )
    with pytest.raises(UserError, match=begin or "f.npz"):
        pretrain(guided, tmp_path / "runs" / "bad")
    assert everything_in(tmp_path) == {"f.npz"}


def everything_in(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_lock_that_is_a_link_truncates_nothing(contrast, tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").symlink_to(victim)
    with pytest.raises(UserError, match=".lock is a symbolic link, which is not followed there"):
        pretrain(contrast, run)
    with pytest.raises(UserError, match="Cannot write to"):
        DirectoryLock(run).__enter__()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    "part", ["metrics.jsonl", "checkpoints", "tensorboard", "eval", "eval/features", "config.yaml"]
)
def test_a_run_directory_whose_parts_are_links_is_refused(contrast, tmp_path, part):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run = tmp_path / "run"
    (run / part).parent.mkdir(parents=True)
    (run / part).symlink_to(elsewhere)
    with pytest.raises(UserError, match=f"{part} is a symbolic link, which is not followed there"):
        pretrain(contrast, run)
    assert not list(elsewhere.iterdir())


def test_the_run_directory_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    with DirectoryLock(RunDirectory(tmp_path / "run").path):
        assert (tmp_path / "disk" / ".lock").is_file()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_vanished_directory_is_noticed_and_not_made_again(replaced, tmp_path):
    with DirectoryLock(tmp_path / "run") as lock:
        lock.check()
        shutil.rmtree(tmp_path / "run")
        if replaced:  # as a mount point is when its file system has gone
            os.mkdir(tmp_path / "run")
        with pytest.raises(UserError, match="has vanished while training; bring it back"):
            lock.check()
    assert (tmp_path / "run").exists() == replaced
    assert not replaced or not list((tmp_path / "run").iterdir())
