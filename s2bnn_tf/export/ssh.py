"""Reach a device through the system's `ssh`, `rsync` and `scp`, with the user's settings."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from s2bnn_tf.errors import ConfigError, DeviceError

# Words in the complaints of ssh, what they mean, and what to do.
_COMPLAINTS = (
    ("Permission denied", "it does not accept your key: `ssh-copy-id {host}` installs one"),
    ("Host key verification failed", "its host key is not known: run `ssh {host}` once"),
    ("Could not resolve", "there is no such host; check the name"),
    ("Connection refused", "it has no ssh server there; check the port, or start one"),
    ("timed out", "it does not answer; check that it is on, and the network"),
    ("No route to host", "it does not answer; check that it is on, and the network"),
    ("No space left", "its disk is full; make room"),
)
_BATCH_MODE = ("-o", "BatchMode=yes")  # fail instead of asking for a password


@dataclass(frozen=True)
class Destination:
    """A folder on a device, written as `ssh://user@host:port/folder`.

    Attributes:
        host: The host, with the user if one was given.
        port: The port, or None for the one that ssh chooses.
        folder: The folder; a relative path, from `/~/...`, is below the home folder.
    """

    host: str
    port: int | None
    folder: str

    @classmethod
    def parse(cls, url: str) -> Destination:
        """Read a URL.

        Raises:
            ConfigError: If it is not an ssh URL with a host and a folder.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        folder = parts.path.removeprefix("/~/") if parts.path.startswith("/~/") else parts.path
        host = parts.netloc.rsplit(":", 1)[0] if port else parts.netloc
        if parts.scheme != "ssh" or not parts.hostname or not folder.strip("/"):
            raise ConfigError(
                f"The destination must be ssh://user@host/folder, not {url!r}; "
                "ssh://pi@raspberrypi/~/digits is below the home folder."
            )
        if host.startswith("-"):
            raise ConfigError(f"{host!r} is not a host; write ssh://user@host/folder.")
        return cls(host, port, folder)


def run_script(where: Destination, script: str, failure: str) -> str:
    """Run a shell script on the device.

    Args:
        where: The device.
        script: The text of the script.
        failure: What to say after the name of the host if it fails, such as "cannot be asked".

    Returns:
        Its standard output.

    Raises:
        DeviceError: If the device cannot be reached, or the script fails.
    """
    port = [] if where.port is None else ["-p", str(where.port)]
    return _run(["ssh", *_BATCH_MODE, *port, where.host, script], where, failure)


def copy_files(folder: Path, where: Destination, *, rsync: bool) -> None:
    """Copy the files of a folder into the folder on the device, which exists.

    Args:
        folder: A folder without subfolders.
        where: The device.
        rsync: Whether the device has `rsync`, which skips the files that are already there.

    Raises:
        DeviceError: If the device cannot be reached, or its disk is full.
    """
    port = [] if where.port is None else ["-p", str(where.port)]
    target = f"{where.host}:{where.folder}/"
    if rsync and shutil.which("rsync"):
        shell = shlex.join(["ssh", *_BATCH_MODE, *port])
        command = ["rsync", "-rt", "--partial", "-e", shell, f"{folder}/", target]
    else:
        port = [option.upper() for option in port]
        files = sorted(map(str, folder.iterdir()))
        command = ["scp", "-q", *_BATCH_MODE, *port, *files, target]
    _run(command, where, "cannot be copied to")


def _run(command: list[str], where: Destination, failure: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise DeviceError(f"{command[0]} is not installed on this machine: install it.") from error
    if done.returncode == 0:
        return done.stdout
    for complaint, advice in _COMPLAINTS:
        if complaint in done.stderr:
            raise DeviceError(f"{where.host}: {advice.format(host=where.host)}.")
    last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no reason given"]
    raise DeviceError(f"{where.host} {failure}: {last[0]}")
