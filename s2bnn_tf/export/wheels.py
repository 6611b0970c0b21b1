"""The wheel of the runtime for a device: given, found, or built once from the sources beside us."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from s2bnn_tf.errors import DeviceError
from s2bnn_tf.locks import DirectoryLock
from s2bnn_tf.progress import Progress, no_progress

_RUNTIME = Path(__file__).parents[2] / "runtime"
_BUILD_MINUTES = 30  # of a slow machine, with nothing in its cache
_SOURCES = ("src/**/*", "s2bnn_runtime/*.py", "CMakeLists.txt", "pyproject.toml")


def find_wheel(target: str, wheel: str | Path | None, progress: Progress | None = None) -> Path:
    """Find the wheel of s2bnn_runtime for a target, and build it if there is none.

    Zig, from PyPI, compiles for every target, without other compilers and without root. That
    takes a few minutes the first time; the wheel is kept in `runtime/dist` until the runtime's
    sources change.

    Args:
        target: `"linux-aarch64"` or `"linux-x86_64"`.
        wheel: A wheel to use instead.
        progress: Called when a build begins, or when one of another process is waited for.

    Raises:
        DeviceError: If the given wheel is none for the target, or there is none and it cannot be
            built.
    """
    machine = target.removeprefix("linux-")
    if wheel is not None:
        return _check(Path(wheel), target, machine)
    found = _newest(machine)
    if found is None:
        _build(machine, target, progress or no_progress)
        found = _newest(machine)
    if found is None:
        raise DeviceError(
            f"There is no wheel of the runtime for {target}: name one with --runtime-wheel."
        )
    return found


def _check(wheel: Path, target: str, machine: str) -> Path:
    if not wheel.is_file() or not wheel.name.startswith("s2bnn_runtime-"):
        raise DeviceError(
            f"{wheel} is not a wheel of s2bnn_runtime: leave --runtime-wheel out to build one."
        )
    if machine not in wheel.name:
        raise DeviceError(f"{wheel.name} is not for {target}; name the wheel for {machine}.")
    return wheel


def _newest(machine: str) -> Path | None:
    """The newest wheel that is not older than the runtime's sources."""
    wheels = sorted((_RUNTIME / "dist").glob(f"s2bnn_runtime-*{machine}*.whl"), key=_age)
    sources = [p for pattern in _SOURCES for p in _RUNTIME.glob(pattern) if p.is_file()]
    changed = max(map(_age, sources), default=0.0)
    return wheels[-1] if wheels and _age(wheels[-1]) >= changed else None


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _build(machine: str, target: str, progress: Progress) -> None:
    script = _RUNTIME / "tools" / "build_wheels.sh"
    if not script.is_file():
        raise DeviceError(
            f"There is no wheel of the runtime for {target}, and its sources are not beside this "
            "package: name a wheel with --runtime-wheel."
        )
    command = [str(script), sys.executable, str(_RUNTIME / "dist"), machine]
    with DirectoryLock(
        _RUNTIME / "dist", "build", "name a wheel with --runtime-wheel", waiting=progress
    ):
        if _newest(machine) is not None:  # by the process that was waited for
            return
        progress(f"Building the runtime for {target}, once: a few minutes")
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env={**os.environ, "PIP_NO_INPUT": "1"},
                timeout=60 * _BUILD_MINUTES,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"The runtime for {target} was not built within {_BUILD_MINUTES} minutes; run "
                f"`{' '.join(command)}` to see why."
            ) from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no reason given"]
        raise DeviceError(
            f"The runtime for {target} cannot be built ({last[0][:300]}); run "
            f"`{' '.join(command)}` to see why, or name a wheel with --runtime-wheel."
        )
