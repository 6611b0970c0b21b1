"""Reach a device through the system's `ssh` and `rsync`, with the user's settings."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from s2bnn_tf.errors import ConfigError, DeviceError

# Words in the complaints of ssh, what they mean, and what to do.
_COMPLAINTS = (
    ("Permission denied", "it does not accept your key: `ssh-copy-id {host}` installs one"),
    ("Host key verification failed", "its host key is not known: run `ssh {host}` once"),
    ("Could not resolve", "there is no such host; check the name"),
    ("Connection refused", "it has no ssh server there; check the port, or start one"),
    ("timed out", "it does not answer; check that it is on, and the network"),
    ("Timeout, server", "it has stopped answering; check that it is on, and the network"),
    ("No route to host", "it does not answer; check that it is on, and the network"),
    ("No space left", "its disk is full; make room"),
)
# Fail instead of asking for a password, and instead of waiting for a device that is silent.
_OPTIONS = tuple(
    word
    for option in (
        "BatchMode=yes",
        "ConnectTimeout=15",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=4",
    )
    for word in ("-o", option)
)
_URL = re.compile(
    r"ssh://(?P<user>[^/@\s]+@)?(?:\[(?P<address>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<name>[\w.-]+))"
    r"(?::(?P<port>\d{1,5}))?/(?P<folder>.*)",
    re.DOTALL,
)


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
        """Read a URL. Every character of its folder means itself, also `#`, `?` and `%`.

        Raises:
            ConfigError: If it is not an ssh URL with a host and a folder.
        """
        found = _URL.fullmatch(url)
        if not found or not found["folder"].removeprefix("~/").strip("/"):
            raise ConfigError(
                f"The destination must be ssh://user@host/folder, not {url!r}; "
                "ssh://pi@raspberrypi/~/digits is below the home folder."
            )
        port = int(found["port"]) if found["port"] else None
        if port is not None and not 0 < port < 65536:
            raise ConfigError(f"{port} is not a port; write ssh://user@host:port/folder.")
        folder = found["folder"]
        folder = folder.removeprefix("~/") if folder.startswith("~/") else f"/{folder}"
        if "\n" in folder or "\0" in folder:
            raise ConfigError(f"{folder!r} cannot be the name of a folder on a device.")
        host = (found["user"] or "") + (found["address"] or found["name"])
        if host.startswith("-"):
            raise ConfigError(f"{host!r} is not a host; write ssh://user@host/folder.")
        return cls(host, port, folder)

    @property
    def quoted_folder(self) -> str:
        """The folder as one word of a shell, which is never taken for an option."""
        return shlex.quote(self.folder if self.folder.startswith("/") else f"./{self.folder}")


def run_script(
    where: Destination, script: str, failure: str, *, minutes: float, stdin: IO[bytes] | None = None
) -> str:
    """Run a shell script on the device.

    Args:
        where: The device.
        script: The text of the script.
        failure: What to say after the name of the host if it fails, such as "cannot be asked".
        minutes: How long to wait for the script at most.
        stdin: What the script reads; nothing by default.

    Returns:
        Its standard output.

    Raises:
        DeviceError: If the device cannot be reached, or the script fails or takes too long.
    """
    command = ["ssh", *_OPTIONS, *_port(where), where.host, script]
    return _run(command, where, failure, minutes, stdin)


def copy_files(
    folder: Path, names: Sequence[str], where: Destination, *, rsync: bool, minutes: float
) -> None:
    """Copy files into the folder on the device, which exists.

    Args:
        folder: The folder that holds the files.
        names: Their names.
        where: The device.
        rsync: Whether the device has `rsync`, which skips the files that are already there.
        minutes: How long to wait at most.

    Raises:
        DeviceError: If the device cannot be reached, its disk is full, or it takes too long.
    """
    failure = "cannot be copied to"
    if rsync and shutil.which("rsync"):
        shell = shlex.join(["ssh", *_OPTIONS, *_port(where)])
        user, _, host = where.host.rpartition("@")
        host = f"[{host}]" if ":" in host else host
        target = f"{user}@{host}" if user else host
        folder_there = where.folder if where.folder.startswith("/") else f"./{where.folder}"
        sources = [str(folder / name) for name in names]
        # --protect-args: the folder's name is not read by the device's shell
        command = ["rsync", "-t", "--partial", "--protect-args", "-e", shell, "--", *sources]
        _run([*command, f"{target}:{folder_there}/"], where, failure, minutes, None)
        return
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name in names:
                data = (folder / name).read_bytes()
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(data), 0o644
                entry.mtime = int((folder / name).stat().st_mtime)
                archive.addfile(entry, io.BytesIO(data))
        packed.seek(0)
        unpack = f"cd {where.quoted_folder} && tar -xf -"
        run_script(where, unpack, failure, minutes=minutes, stdin=packed)


def _port(where: Destination) -> list[str]:
    return [] if where.port is None else ["-p", str(where.port)]


def _run(
    command: list[str], where: Destination, failure: str, minutes: float, stdin: IO[bytes] | None
) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=stdin or subprocess.DEVNULL,  # a loop over devices reads its list from there
            timeout=60 * minutes,
            check=False,
        )
    except FileNotFoundError as error:
        raise DeviceError(f"{command[0]} is not installed on this machine: install it.") from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"{where.host} {failure}: it has not answered for {minutes:g} minutes; check that it "
            "is well, and run the same command again."
        ) from error
    output, complaints = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    if done.returncode == 0:
        return output
    for complaint, advice in _COMPLAINTS:
        if complaint in complaints:
            raise DeviceError(f"{where.host}: {advice.format(host=where.host)}.")
    last = (complaints.strip() or output.strip()).splitlines()[-1:] or ["no reason given"]
    raise DeviceError(f"{where.host} {failure}: {last[0]}")
