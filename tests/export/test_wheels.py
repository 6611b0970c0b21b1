"""The wheel of the runtime: found, rebuilt when its sources change, or explained."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from s2bnn_tf.errors import DeviceError
from s2bnn_tf.export import wheels
from s2bnn_tf.export.wheels import find_wheel

NAME = "s2bnn_runtime-0.1.0-py3-none-manylinux_2_17_x86_64.whl"
BUILDS = f'#!/bin/sh\necho "$3" >> "$2/built"\ntouch "$2/{NAME}"\n'
HOLDS = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
FAILS = "#!/bin/sh\necho progress\necho 'no space left' >&2\nexit 3\n"


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """Sources with a script in place of the compiler's, which takes minutes."""
    for folder in ("src", "tools", "dist"):
        (tmp_path / folder).mkdir()
    (tmp_path / "src" / "a.cc").touch()
    os.utime(tmp_path / "src" / "a.cc", (1000, 1000))
    monkeypatch.setattr(wheels, "_RUNTIME", tmp_path)

    def script(text: str) -> None:
        (tmp_path / "tools" / "build_wheels.sh").write_text(text)
        (tmp_path / "tools" / "build_wheels.sh").chmod(0o755)

    script(BUILDS)
    return tmp_path, script


def test_built_once_and_again_when_the_sources_change(runtime):
    folder, _ = runtime
    said = []
    for _ in range(2):
        assert find_wheel("linux-x86_64", None, said.append) == folder / "dist" / NAME
    assert said == ["Building the runtime for linux-x86_64, once: a few minutes"]
    os.utime(folder / "dist" / NAME, (2000, 2000))
    os.utime(folder / "src" / "a.cc", (3000, 3000))
    find_wheel("linux-x86_64", None)
    assert (folder / "dist" / "built").read_text() == "x86_64\nx86_64\n"


def test_a_wheel_for_another_machine_is_none(runtime):
    (runtime[0] / "dist" / NAME).touch()
    with pytest.raises(DeviceError, match="There is no wheel of the runtime for linux-aarch64"):
        find_wheel("linux-aarch64", None)


def test_a_build_that_fails_says_why(runtime):
    runtime[1](FAILS)
    with pytest.raises(DeviceError, match=r"cannot be built \(no space left\); run `.*` to see"):
        find_wheel("linux-x86_64", None)


def test_a_build_of_another_process_is_waited_for_and_used(runtime):
    folder, script = runtime
    lock = folder / "dist" / ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    script(FAILS)  # which nobody is to run
    said = []

    def finish(what: str) -> None:
        said.append(what)
        (folder / "dist" / NAME).touch()
        holder.communicate()

    assert find_wheel("linux-x86_64", None, finish) == folder / "dist" / NAME
    assert said == [f"{lock.parent} is in use by another build; waiting until that has ended"]


def test_without_the_sources(runtime):
    (runtime[0] / "tools" / "build_wheels.sh").unlink()
    with pytest.raises(DeviceError, match="its sources are not beside this package"):
        find_wheel("linux-x86_64", None)
