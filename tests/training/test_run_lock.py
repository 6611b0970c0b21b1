"""Two runs in one directory, and a directory that goes away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from s2bnn_tf.errors import UserError
from s2bnn_tf.training import pretrain
from s2bnn_tf.training.run_lock import RunLock

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
    with RunLock(tmp_path):
        pass


def test_a_directory_into_which_nothing_came_is_removed(tmp_path):
    with RunLock(tmp_path / "a"):
        assert (tmp_path / "a" / ".lock").is_file()
    assert not (tmp_path / "a").exists()
    with RunLock(tmp_path / "b"):
        (tmp_path / "b" / "config.yaml").touch()
    assert (tmp_path / "b" / "config.yaml").is_file()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_vanished_directory_is_noticed_and_not_made_again(replaced, tmp_path):
    with RunLock(tmp_path / "run") as lock:
        lock.check()
        shutil.rmtree(tmp_path / "run")
        if replaced:  # as a mount point is when its file system has gone
            os.mkdir(tmp_path / "run")
        with pytest.raises(UserError, match="has vanished while training; bring it back"):
            lock.check()
    assert (tmp_path / "run").exists() == replaced
    assert not replaced or not list((tmp_path / "run").iterdir())
