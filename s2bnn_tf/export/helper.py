"""Conversion in another Python, where Larq Compute Engine cannot be installed beside this one.

It has no wheels for Python 3.13, and its interpreter needs NumPy 1, which hosted notebooks do not
have. So an environment of its own is made once, in the cache; a run directory is converted there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import s2bnn_tf.errors
from s2bnn_tf.environment import cache_directory
from s2bnn_tf.errors import DeviceError, UserError
from s2bnn_tf.locks import DirectoryLock
from s2bnn_tf.plugins import load_plugin, loaded_plugins
from s2bnn_tf.progress import Progress

# What `pip install s2bnn_tf` takes on Python 3.12, from requirements-tf220.lock
_PINS = Path(__file__).with_name("helper_pins.txt")
_PYTHON = "3.12"
_IS_ONE = f"import sys, venv, ensurepip; assert '%d.%d' % sys.version_info[:2] == '{_PYTHON}'"
_SIZE = "2.9 GB"
_CHILD = "from s2bnn_tf.export.helper import answer; answer()"


def needs_helper() -> bool:
    """Whether Larq Compute Engine cannot work in this Python."""
    return find_spec("larq_compute_engine") is None


def convert_in_helper(
    run: Path, output: Path, options: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """Do what `convert_run` does in an environment that has Larq Compute Engine.

    Args:
        run: A run directory.
        output: The `.tflite` to write.
        options: The other arguments of `convert_run`.
        progress: Called with what is done.

    Returns:
        The card.

    Raises:
        DeviceError: If there is no such environment and it cannot be made.
        UserError: What `convert_run` raises there.
    """
    python = _environment(progress)
    task = {"run": str(run), "output": str(output), "options": options}
    task["plugins"] = loaded_plugins()
    with tempfile.TemporaryDirectory() as folder:
        # This package alone, and not what is installed beside it
        Path(folder, "s2bnn_tf").symlink_to(Path(__file__).resolve().parents[1])
        child = subprocess.Popen(
            [python, "-c", _CHILD, json.dumps(task)],
            env={**os.environ, "PYTHONPATH": folder, "PYTHONNOUSERSITE": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdout is not None
            for line in child.stdout:
                said = json.loads(line)
                if "card" in said:
                    card: dict[str, Any] = said["card"]
                    return card
                if "error" in said:
                    raise getattr(s2bnn_tf.errors, said["kind"])(said["error"])
                progress(said["progress"])
    raise DeviceError(f"The Python in {python.parent.parent} has failed: delete it and try again.")


def answer() -> None:
    """What the helper does: convert as its argument says, and report on standard output."""
    from s2bnn_tf.environment import quiet_tensorflow

    quiet_tensorflow()
    from s2bnn_tf.export.convert import convert_run

    def report(what: str, done: int = 0, total: int = 0) -> None:
        print(json.dumps({"progress": what}), flush=True)

    task = json.loads(sys.argv[1])
    try:
        for plugin in task["plugins"]:
            load_plugin(plugin)
        card = convert_run(task["run"], task["output"], **task["options"], progress=report)
    except UserError as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__}))
    else:
        print(json.dumps({"card": card}))


def _environment(progress: Progress) -> Path:
    """The Python of the environment, which is made unless it is there."""
    name = f"converter-{sha256(_PINS.read_bytes()).hexdigest()[:8]}"
    place = cache_directory() / name
    python = place / "bin" / "python"
    if (place / "complete").exists():
        return python
    converters = cache_directory() / "converters"
    with DirectoryLock(converters, "conversion", "set S2BNN_CACHE", waiting=progress):
        if not (place / "complete").exists():
            _make(place, progress)
    return python


def _make(place: Path, progress: Progress) -> None:
    """Make the environment of a Python of this machine, or with uv, which brings one."""
    uv = shutil.which("uv")
    other = next(_pythons(), None)
    if uv is None and other is None:
        raise DeviceError(
            f"Converting needs Larq Compute Engine, which Python {sys.version_info[0]}."
            f"{sys.version_info[1]} cannot use here: run `pip install uv`, or install Python "
            f"{_PYTHON} with its venv module, and convert again."
        )
    progress(
        f"Making an environment for Larq Compute Engine, once: {_SIZE}, a few minutes, in {place}"
    )
    shutil.rmtree(place, ignore_errors=True)
    python = str(place / "bin" / "python")
    if uv is not None:
        # uv would ask the network for one that the machine has, but not under its name in PATH.
        _run(place, uv, "venv", "--quiet", "--python", other or _PYTHON, str(place))
        _run(place, uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "-r", _PINS)
    else:
        _run(place, str(other), "-m", "venv", str(place))
        _run(place, python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", _PINS)
    (place / "complete").touch()


def _run(place: Path, *command: str | Path) -> None:
    # Settings for this Python are none for that one.
    mine = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_USER")
    environment = {name: value for name, value in os.environ.items() if name not in mine}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        wrong = [line for line in lines if line.lower().startswith("error")] or lines
        raise DeviceError(
            f"The environment for Larq Compute Engine cannot be made in {place} "
            f"({wrong[-1].strip()}): mend that, or convert where Python {_PYTHON} is."
        )


def _pythons() -> Iterator[str]:
    """Interpreters of the version that is needed, each run once to see that it works."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    named = (shutil.which(name) for name in (f"python{_PYTHON}", "python3", "python"))
    for python in [sys.executable, *named, *sorted(root.glob(f"{_PYTHON}*/bin/python"))]:
        if not python:
            continue
        done = subprocess.run([python, "-c", _IS_ONE], capture_output=True, check=False)
        if done.returncode == 0:
            yield str(python)
