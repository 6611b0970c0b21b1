"""Put a bundle on a device over ssh: check, copy, install, self-test, measure.

The system's own `ssh`, and `rsync` or `scp`, do the work, with the user's keys and configuration.
Every step can be repeated: what is there already is not copied or installed again.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from s2bnn_tf.errors import UserError
from s2bnn_tf.files import write_json

Tell = Callable[[str], None]

_OLDEST_GLIBC = (2, 27)  # of ai-edge-litert's wheels
_PYTHONS = ("3.10", "3.11", "3.12", "3.13")  # for which all pinned requirements have wheels
_NEEDED_KIB = 400 * 1024  # the environment, mostly numpy and LiteRT

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
# What ssh says, and what to do about it.
_COMPLAINTS = (
    ("Permission denied", "it does not accept your key: `ssh-copy-id {where}` installs one"),
    ("Host key verification failed", "its host key is not known: run `ssh {where}` once"),
    ("Could not resolve", "there is no such host; check the name"),
    ("Connection refused", "it has no ssh server there; check the port, or start one"),
    ("timed out", "it does not answer; check that it is on, and the network"),
    ("No route to host", "it does not answer; check that it is on, and the network"),
    ("No space left", "its disk is full; make room"),
)


@dataclass(frozen=True)
class Destination:
    """Where a bundle goes: `ssh://user@host:port/folder`; `/~/x` is below the home folder."""

    host: str
    port: int | None
    folder: str

    @classmethod
    def parse(cls, url: str) -> Destination:
        """Read a URL.

        Raises:
            UserError: if it is not one of ssh with a host and a folder.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        folder = parts.path.removeprefix("/~/") if parts.path.startswith("/~/") else parts.path
        host = parts.netloc.rsplit(":", 1)[0] if port else parts.netloc
        if parts.scheme != "ssh" or not parts.hostname or not folder.strip("/"):
            raise UserError(
                f"The destination is ssh://user@host/folder, not {url!r}; "
                "ssh://pi@raspberrypi/~/digits is below the home folder."
            )
        if host.startswith("-"):
            raise UserError(f"{host!r} is not a host.")
        return cls(host, port, folder)


def deploy_bundle(
    bundle: str | Path,
    destination: str,
    *,
    benchmark: bool = False,
    threads: int = 1,
    progress: Tell | None = None,
) -> dict:
    """Copy a bundle to a device, install it there, and let it test itself.

    Args:
        bundle: A folder or zip that `bundle` has written.
        destination: `ssh://user@host[:port]/folder`.
        benchmark: Measure the latency there too.
        threads: Of the benchmark.
        progress: Told what is being done.

    Returns:
        `device` (machine, glibc, python), `selftest` (ok, cosine, largest_difference) and,
        if asked for, `benchmark`. The same is written beside the bundle, `NAME.deployed.json`.

    Raises:
        UserError: if there is no such bundle, the device cannot be reached or is of another
            kind, a step fails, or the device computes something else.
    """
    tell = progress or (lambda message: None)
    where = Destination.parse(destination)
    with _unpacked(Path(bundle)) as folder:
        card = json.loads((folder / "card.json").read_text("utf-8"))
        tell(f"Looking at {where.host}")
        device = _ask(where, card["target"], folder)
        tell(f"Copying {_size(folder) // 1024} KiB to {where.folder}")
        _copy(folder, where, rsync=bool(device.pop("rsync")))
    tell("Installing")
    _ssh(where, _INSTALL.format(folder=shlex.quote(where.folder)), "cannot install the bundle")
    tell("Testing")
    python = f"cd {shlex.quote(where.folder)} && .venv/bin/"
    tested = _ssh(where, f"{python}python classify.py --selftest 2>&1 || true", "cannot run it")
    result = {"device": device, "selftest": _last_json(tested, "the self-test")}
    if not result["selftest"]["ok"]:
        raise UserError(
            f"{where.host} computes something else than the host (cosine "
            f"{result['selftest']['cosine']:.4f}): do not use it, and report its processor."
        )
    if benchmark:
        tell("Measuring")
        command = f"s2bnn-run encoder.tflite --benchmark --json --threads {threads} 2>/dev/null"
        result["benchmark"] = _last_json(_ssh(where, python + command, "cannot measure"), "it")
    write_json(Path(bundle).with_suffix(".deployed.json"), result)
    return result


@contextlib.contextmanager
def _unpacked(bundle: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = bundle
        if bundle.suffix == ".zip" and zipfile.is_zipfile(bundle):
            with zipfile.ZipFile(bundle) as archive:
                archive.extractall(temporary)  # which keeps every name inside of the folder
            folder = next(Path(temporary).iterdir())
        if not (folder / "card.json").is_file():
            raise UserError(f"{bundle} is not a bundle: make one with `s2bnn bundle`.")
        yield folder


def _ask(where: Destination, target: str, folder: Path) -> dict[str, str]:
    """Ask the device what it is, and refuse what cannot work before anything is copied."""
    answer = _ssh(where, _ASK.format(folder=shlex.quote(where.folder)), "cannot be asked")
    told = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    machine = target.removeprefix("linux-")
    if told.get("bits") == "32" or told.get("machine", "").startswith(("armv6", "armv7")):
        raise UserError(f"{where.host} runs a 32-bit system; install a 64-bit one.")
    if told.get("machine") != machine:
        raise UserError(
            f"{where.host} is {told.get('machine')} and the bundle is for {machine}: "
            f"make one with --target linux-{told.get('machine')}."
        )
    glibc = tuple(int(part) for part in told.get("glibc", "").split(".") if part.isdigit())
    if glibc < _OLDEST_GLIBC:
        found = told.get("glibc") or "none"
        raise UserError(f"{where.host} has glibc {found}; 2.27 or newer is needed.")
    if told.get("python") not in _PYTHONS:
        raise UserError(
            f"{where.host} has Python {told.get('python') or 'without venv, or none'}; install one "
            f"of {', '.join(_PYTHONS)} (Debian: apt install python3-venv)."
        )
    if told.get("writable") != "yes":
        raise UserError(f"{where.folder} cannot be written on {where.host}; choose another.")
    if int(told.get("free_kib") or 0) < _NEEDED_KIB + _size(folder) // 1024:
        free = int(told.get("free_kib") or 0) // 1024
        raise UserError(
            f"{where.host} has too little room in {where.folder}: 400 MB are needed, {free} MB "
            "are free; make room, or choose another folder."
        )
    return {key: told[key] for key in ("machine", "glibc", "python", "rsync")}


def _copy(folder: Path, where: Destination, *, rsync: bool) -> None:
    port = [] if where.port is None else ["-p", str(where.port)]
    target = f"{where.host}:{where.folder}/"
    if rsync and shutil.which("rsync"):
        shell = shlex.join(["ssh", "-o", "BatchMode=yes", *port])
        command = ["rsync", "-rt", "--partial", "-e", shell, f"{folder}/", target]
    else:
        port = [option.upper() for option in port]
        files = sorted(map(str, folder.iterdir()))
        command = ["scp", "-q", "-o", "BatchMode=yes", *port, *files, target]
    _run(command, where, "cannot be copied to")


def _ssh(where: Destination, script: str, failure: str) -> str:
    port = [] if where.port is None else ["-p", str(where.port)]
    return _run(["ssh", "-o", "BatchMode=yes", *port, where.host, script], where, failure)


def _run(command: list[str], where: Destination, failure: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError(f"{command[0]} is not installed on this machine.") from error
    if done.returncode == 0:
        return done.stdout
    for complaint, advice in _COMPLAINTS:
        if complaint in done.stderr:
            raise UserError(f"{where.host}: {advice.format(where=where.host)}.")
    last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no reason given"]
    raise UserError(f"{where.host} {failure}: {last[0]}")


def _last_json(text: str, what: str) -> dict:
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    last = text.strip().splitlines()[-1:] or ["it said nothing"]
    raise UserError(f"On the device, {what} failed: {last[0]}")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
