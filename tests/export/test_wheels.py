"""The wheel of the runtime: found, rebuilt when its sources change, or explained."""

from __future__ import annotations

import os

import pytest

from s2bnn_tf.errors import DeviceError, UserError
from s2bnn_tf.export import wheels
from s2bnn_tf.export.wheels import find_wheel
from s2bnn_tf.locks import DirectoryLock

NAME = "s2bnn_runtime-0.1.0-py3-none-manylinux_2_17_x86_64.whl"
BUILDS = f'#!/bin/sh\necho "$3" >> "$2/built"\ntouch "$2/{NAME}"\n'
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


def test_one_build_at_a_time(runtime):
    with DirectoryLock(runtime[0] / "dist", "build"):
        with pytest.raises(UserError, match="is in use by another build"):
            find_wheel("linux-x86_64", None)


def test_without_the_sources(runtime):
    (runtime[0] / "tools" / "build_wheels.sh").unlink()
    with pytest.raises(DeviceError, match="its sources are not beside this package"):
        find_wheel("linux-x86_64", None)
