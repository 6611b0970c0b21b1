"""Put a bundle on a device over ssh: check the device, copy, install, self-test and measure.

Every step can be repeated: what is already there is not copied or installed again.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from s2bnn_tf.errors import DeviceError
from s2bnn_tf.export.ssh import Destination, copy_files, run_script
from s2bnn_tf.files import write_json
from s2bnn_tf.progress import Progress, no_progress

_OLDEST_GLIBC = (2, 27)  # that the wheels of ai-edge-litert support
_PYTHONS = ("3.10", "3.11", "3.12", "3.13")  # for which all pinned requirements have wheels
_NEEDED_KIB = 400 * 1024  # for the environment, which is mostly numpy and LiteRT

_ASK = """
echo machine=$(uname -m)
echo bits=$(getconf LONG_BIT)
echo glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)
echo python=$(python3 -c '
import sys, venv, ensurepip
print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
echo rsync=$(command -v rsync)
mkdir -p {folder} 2>/dev/null
test -d {folder} && echo free_kib=$(df -Pk {folder} | tail -n 1 | tr -s ' ' | cut -d' ' -f4)
test -w {folder} && echo writable=yes || true
"""
_INSTALL = """
cd {folder} || exit 1
wanted=$(sha256sum requirements.txt *.whl | sha256sum)
[ "$(cat .venv/installed 2>/dev/null)" = "$wanted" ] && exit 0
python3 -m venv .venv && .venv/bin/pip install -q --disable-pip-version-check -r requirements.txt &&
echo "$wanted" > .venv/installed
"""


def deploy_bundle(
    bundle: str | Path,
    destination: str,
    *,
    benchmark: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Copy a bundle to a device, install it there, and run its self-test there.

    Args:
        bundle: A folder or zip that `bundle` has written.
        destination: `ssh://user@host[:port]/folder`.
        benchmark: Whether to measure the latency on the device, too.
        threads: The number of threads of the benchmark.
        progress: Called with a message at the start of each step.

    Returns:
        `device` (machine, glibc, python), `selftest` (ok, cosine, largest_difference) and, if
        requested, `benchmark`. The same is written beside the bundle, as `NAME.deployed.json`.

    Raises:
        ConfigError: If the destination is not an ssh URL.
        DeviceError: If there is no such bundle, the device cannot be reached or cannot run it,
            a step fails, or the self-test finds a difference.
    """
    report = progress or no_progress
    where = Destination.parse(destination)
    with _unpacked(Path(bundle)) as folder:
        card = json.loads((folder / "card.json").read_text("utf-8"))
        report(f"Checking {where.host}")
        device = _check_device(where, card["target"], folder)
        report(f"Copying {_size(folder) // 1024} KiB to {where.folder}")
        copy_files(folder, where, rsync=bool(device.pop("rsync")))
    report("Installing")
    install = _INSTALL.format(folder=shlex.quote(where.folder))
    run_script(where, install, "cannot install the bundle")
    report("Testing")
    python = f"cd {shlex.quote(where.folder)} && .venv/bin/"
    test = f"{python}python classify.py --selftest 2>&1 || true"
    tested = _last_json(run_script(where, test, "cannot run the self-test"), "the self-test")
    result = {"device": device, "selftest": tested}
    if not tested["ok"]:
        raise DeviceError(
            f"{where.host} does not compute the host's result (cosine {tested['cosine']:.4f}): "
            "do not use it, and report its processor."
        )
    if benchmark:
        report("Measuring")
        measure = f"s2bnn-run encoder.tflite --benchmark --json --threads {threads} 2>/dev/null"
        measured = run_script(where, python + measure, "cannot run the benchmark")
        result["benchmark"] = _last_json(measured, "the benchmark")
    write_json(Path(bundle).with_suffix(".deployed.json"), result)
    return result


@contextlib.contextmanager
def _unpacked(bundle: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = bundle
        if bundle.suffix == ".zip" and zipfile.is_zipfile(bundle):
            with zipfile.ZipFile(bundle) as archive:
                archive.extractall(temporary)  # which keeps every name inside the folder
            folder = next(Path(temporary).iterdir())
        if not (folder / "card.json").is_file():
            raise DeviceError(f"{bundle} is not a bundle: make one with `s2bnn bundle`.")
        yield folder


def _check_device(where: Destination, target: str, folder: Path) -> dict[str, str]:
    """Ask the device about itself, and refuse what cannot work before anything is copied."""
    answer = run_script(where, _ASK.format(folder=shlex.quote(where.folder)), "cannot be asked")
    found = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    machine = target.removeprefix("linux-")
    if found.get("bits") == "32" or found.get("machine", "").startswith(("armv6", "armv7")):
        raise DeviceError(f"{where.host} runs a 32-bit system; install a 64-bit one.")
    if found.get("machine") != machine:
        raise DeviceError(
            f"{where.host} is {found.get('machine')} and the bundle is for {machine}: "
            f"make one with --target linux-{found.get('machine')}."
        )
    glibc = tuple(int(part) for part in found.get("glibc", "").split(".") if part.isdigit())
    if glibc < _OLDEST_GLIBC:
        version = found.get("glibc") or "none"
        raise DeviceError(
            f"{where.host} has glibc {version}; 2.27 or newer is needed: install a newer system."
        )
    if found.get("python") not in _PYTHONS:
        raise DeviceError(
            f"{where.host} has Python {found.get('python') or 'without venv, or none'}; install "
            f"one of {', '.join(_PYTHONS)} (Debian: apt install python3-venv)."
        )
    if found.get("writable") != "yes":
        raise DeviceError(f"{where.folder} cannot be written on {where.host}; choose another.")
    if int(found.get("free_kib") or 0) < _NEEDED_KIB + _size(folder) // 1024:
        free = int(found.get("free_kib") or 0) // 1024
        raise DeviceError(
            f"{where.host} has too little space in {where.folder}: 400 MB are needed, {free} MB "
            "are free; make room, or choose another folder."
        )
    return {key: found[key] for key in ("machine", "glibc", "python", "rsync")}


def _last_json(text: str, what: str) -> dict[str, Any]:
    """The last line of an output that is a JSON object."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            content: dict[str, Any] = json.loads(line)
            return content
    last = text.strip().splitlines()[-1:] or ["it printed nothing"]
    raise DeviceError(f"On the device, {what} failed: {last[0]}")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
