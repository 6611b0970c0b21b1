"""Commands that are really killed, stopped, or robbed of their directory while they write.

At every moment an output is either absent or whole, and the same command again makes it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

VERSION = sorted((Path(__file__).parents[1] / "compat" / "data").iterdir())[-1]
WHEEL = "s2bnn_runtime-0-py3-none-manylinux_2_27_x86_64.whl"
# The command, what it writes below out/, and how often its folder changes before it is killed.
COMMANDS = {
    "convert": ("convert student out/new.tflite", 2),
    "bundle folder": (
        f"bundle student out/device --target linux-x86_64 --runtime-wheel {WHEEL}",
        9,
    ),
    "bundle zip": (
        f"bundle student out/device.zip --target linux-x86_64 --runtime-wheel {WHEEL}",
        12,
    ),
    "pack": ("data pack folder:pictures out/pack", 2),
}
DEADLINE = 600  # seconds, for what takes ten on an idle machine

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path) -> Path:
    """The files of an earlier version, and pictures to pack."""
    folder = shutil.copytree(VERSION, tmp_path / "files")
    (folder / WHEEL).write_bytes(b"the device installs this")
    rng = np.random.default_rng(0)
    for index in range(400):
        path = folder / "pictures" / str(index % 2) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    (folder / "out").mkdir()
    return folder


@pytest.fixture
def start(files):
    processes = []

    def start(command: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "s2bnn_tf", *command.split()],
            cwd=files,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, errors


def content(folder: Path, *, hidden: bool = False) -> dict[str, str]:
    """The digest of every file, without those whose path has a part that begins with a dot."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and (hidden or not any(part.startswith(".") for part in name.parts)):
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def wait_for_changes(process: subprocess.Popen, folder: Path, count: int) -> None:
    """Return when the files of a folder, or their sizes, have changed so often."""
    end, before = time.monotonic() + DEADLINE, None
    while count and process.poll() is None:
        assert time.monotonic() < end
        now = [(str(p), p.stat().st_size) for p in folder.rglob("*") if p.exists()]
        count -= before is not None and now != before
        before = now


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_and_given_again(name, files, start):
    command, changes = COMMANDS[name]
    out = files / "out"
    finish(start(command))
    expected = content(out)
    assert expected
    for moment in range(1, changes + 1, max(changes // 3, 1)):
        shutil.rmtree(out)
        out.mkdir()
        process = start(command)
        wait_for_changes(process, out, moment)
        process.send_signal(signal.SIGSTOP)  # whoever looks now sees nothing half done
        seen = content(out)
        process.kill()
        process.wait()
        if name != "pack":  # a pack counts as written when its summary is there
            assert not seen or seen.items() <= expected.items()
        elif "pack/train.json" in seen:
            assert seen.items() <= expected.items()
        if seen == expected:
            continue
        finish(start(command))
        assert content(out) == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_stopped_for_a_while(name, files, start):
    command, _ = COMMANDS[name]
    out = files / "out"
    finish(start(command))
    expected = content(out)
    shutil.rmtree(out)
    out.mkdir()
    process = start(command)
    wait_for_changes(process, out, 1)
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGCONT)
    finish(process)
    assert content(out, hidden=True).items() >= expected.items()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_directory_that_is_removed_meanwhile(name, files, start):
    command, _ = COMMANDS[name]
    process = start(command)
    wait_for_changes(process, files / "out", 1)
    process.send_signal(signal.SIGSTOP)
    shutil.rmtree(files / "out")
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=DEADLINE)
    assert "Traceback" not in errors
    assert process.returncode in (0, 1)
    if process.returncode == 0:
        assert content(files / "out")
