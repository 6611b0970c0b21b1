"""Put a bundle on a device over ssh: check the device, copy, install, self-test and measure.

Every step can be repeated: what is already there is not copied or installed again.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from s2bnn_tf.defaults import TARGETS
from s2bnn_tf.errors import DeviceError
from s2bnn_tf.export.ssh import Destination, copy_files, run_script
from s2bnn_tf.files import refuse_links, sha256, write_json
from s2bnn_tf.progress import Progress, no_progress
from s2bnn_tf.reading import Field, Number, Object, Text, check_fields, read_json
from s2bnn_tf.text import printable

_OLDEST_GLIBC = (2, 27)  # that the wheels of ai-edge-litert support
_PYTHONS = ("3.10", "3.11", "3.12", "3.13")  # for which all pinned requirements have wheels
_NEEDED_KIB = 400 * 1024  # for the environment, which is mostly numpy and LiteRT
_LARGEST_BUNDLE = 2**30  # bytes; the largest of ours are 30 MB
_MOST_FILES = 1000
_CARD: dict[str, Field] = {
    "target": Text(TARGETS),
    "sha256": Object(values=Text()),
}
_TESTED: dict[str, Field] = {"cosine": Number(), "largest_difference": Number()}
# A slow board on a slow line; a device that is gone is noticed within a minute.
_ASK_MINUTES, _COPY_MINUTES, _INSTALL_MINUTES, _RUN_MINUTES = 2, 60, 60, 15

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
# Programs are started by `python -m`: the wrappers that pip writes hold the path of the folder,
# unquoted, for a shell to read.
_INSTALL = """
cd {folder} || exit 1
wanted=$(sha256sum requirements.txt *.whl | sha256sum)
[ "$(cat .venv/installed 2>/dev/null)" = "$wanted" ] && exit 0
python3 -m venv .venv &&
.venv/bin/python -m pip install -q --disable-pip-version-check -r requirements.txt &&
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
    where, bundle = Destination.parse(destination), Path(bundle).resolve()
    with _unpacked(bundle) as folder:
        target, names = _check_bundle(folder, bundle)
        size = sum((folder / name).stat().st_size for name in names)
        report(f"Checking {where.host}")
        device = _check_device(where, target, size)
        report(f"Copying {size // 1024} KiB to {where.folder}")
        rsync = bool(device.pop("rsync"))
        copy_files(folder, names, where, rsync=rsync, minutes=_COPY_MINUTES)
    report("Installing")
    install = _INSTALL.format(folder=where.quoted_folder)
    run_script(where, install, "cannot install the bundle", minutes=_INSTALL_MINUTES)
    report("Testing")
    python = f"cd {where.quoted_folder} && .venv/bin/python"
    test = f"{python} classify.py --selftest 2>&1 || true"
    said = run_script(where, test, "cannot run the self-test", minutes=_RUN_MINUTES)
    tested = _last_json(said, "the self-test", _TESTED)
    result = {"device": device, "selftest": tested}
    if tested.get("ok") is not True:
        raise DeviceError(
            f"{where.host} does not compute the host's result (cosine {tested['cosine']:.4f}): "
            "do not use it, and report its processor."
        )
    if benchmark:
        report("Measuring")
        measure = f"{python} -m s2bnn_runtime encoder.tflite --benchmark --json"
        measure += f" --threads {threads} 2>/dev/null"
        said = run_script(where, measure, "cannot run the benchmark", minutes=_RUN_MINUTES)
        result["benchmark"] = _last_json(said, "the benchmark", {})
    name = bundle.stem if bundle.suffix == ".zip" else bundle.name  # v1.1 has no suffix
    write_json(bundle.with_name(f"{name}.deployed.json"), result)
    return result


@contextlib.contextmanager
def _unpacked(bundle: Path) -> Iterator[Path]:
    """A folder with the files of a bundle; those of a zip are unpacked for a while."""
    if bundle.is_dir():
        yield bundle
        return
    with tempfile.TemporaryDirectory() as temporary:
        try:
            with zipfile.ZipFile(bundle) as archive:
                _unpack(archive, Path(temporary))
        except (zipfile.BadZipFile, FileNotFoundError):
            pass  # said by _check_bundle
        except (OSError, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
            raise DeviceError(
                f"{bundle} cannot be unpacked ({error}): make it again with `s2bnn bundle`."
            ) from error
        yield Path(temporary)


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Unpack the files of the one folder in a zip."""
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if len(entries) > _MOST_FILES or total > _LARGEST_BUNDLE:
        raise ValueError(f"it has {len(entries):,} files of {total:,} bytes")
    for entry in entries:
        name = entry.filename.split("/")[-1]
        if entry.is_dir() or name in ("", ".", ".."):
            continue
        with archive.open(entry) as packed, (folder / name).open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)


def _check_bundle(folder: Path, bundle: Path) -> tuple[str, list[str]]:
    """Compare the files with the card; return the target and the names of the files."""
    card_path = folder / "card.json"
    remedy = "make it again with `s2bnn bundle`"
    if not bundle.exists():
        raise DeviceError(f"There is no bundle {bundle}; check the path.")
    if not card_path.exists():
        raise DeviceError(f"{bundle} is not a bundle: make one with `s2bnn bundle`.")
    card = read_json(card_path, _CARD, cure=remedy, error=DeviceError)
    if len(card["sha256"]) > _MOST_FILES:
        raise DeviceError(f"{card_path} lists {len(card['sha256']):,} files; {remedy}.")
    for name, digest in card["sha256"].items():
        path = folder / name
        if not re.fullmatch(r"[\w.+-]+", name) or name.startswith(("-", "..")):
            raise DeviceError(f"{card_path} lists a file {printable(name)!r}; {remedy}.")
        refuse_links(path)
        if not path.is_file() or sha256(path) != digest:
            raise DeviceError(f"{path} is missing, or not the file that card.json lists; {remedy}.")
    return card["target"], ["card.json", *card["sha256"]]


def _check_device(where: Destination, target: str, size: int) -> dict[str, str]:
    """Ask the device about itself, and refuse what cannot work before anything is copied."""
    ask = _ASK.format(folder=where.quoted_folder)
    answer = run_script(where, ask, "cannot be asked", minutes=_ASK_MINUTES)
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
    free = found.get("free_kib", "")
    free_kib = int(free) if re.fullmatch("[0-9]+", free) else 0
    if free_kib < _NEEDED_KIB + size // 1024:
        raise DeviceError(
            f"{where.host} has too little space in {where.folder}: 400 MB are needed, "
            f"{free_kib // 1024} MB are free; make room, or choose another folder."
        )
    return {key: found.get(key, "") for key in ("machine", "glibc", "python", "rsync")}


def _last_json(text: str, what: str, fields: Mapping[str, Field]) -> dict[str, Any]:
    """The last line of an output that is a JSON object with these fields."""
    for line in reversed(text.splitlines()):
        with contextlib.suppress(ValueError, RecursionError):
            content = json.loads(line)
            if isinstance(content, dict):
                check_fields(content, fields)
                return content
    last = text.strip().splitlines()[-1:] or ["it printed nothing"]
    raise DeviceError(f"On the device, {what} failed: {printable(last[0])}")
