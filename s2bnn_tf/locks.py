"""One writer per directory: a lock that ends with its process, however the process ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from s2bnn_tf.errors import CheckpointError


class DirectoryLock:
    """A context that holds an output directory for this process.

    The kernel holds the lock (`flock`) and drops it with the process, so a killed process
    leaves no lock behind.

    Args:
        directory: The output directory. It is created if it is missing. If no file was written
            to it in the end, it is left as it was found, or removed again.
        user: What holds it, in words.
        elsewhere: How the user names another directory.
        waiting: Called with a line once, if another process holds the directory; entering then
            waits until that has ended. Without it, entering is refused.

    Raises:
        CheckpointError: On entering, if another process holds the directory and there is no
            waiting, or it cannot be written to.
    """

    def __init__(
        self,
        directory: Path,
        user: str = "training run",
        elsewhere: str = "choose another --output-dir",
        waiting: Callable[[str], None] | None = None,
    ):
        self.directory = directory
        self.user = user
        self.elsewhere = elsewhere
        self.waiting = waiting
        self.path = directory / ".lock"

    def __enter__(self) -> DirectoryLock:
        said = False
        while not self._take():
            holder = _read_holder(self._file)
            used = f"{self.directory} is in use by another {self.user}{holder}"
            if self.waiting is None:
                os.close(self._file)
                raise CheckpointError(f"{used}; wait until that has ended, or {self.elsewhere}.")
            if not said:
                self.waiting(f"{used}; waiting until that has ended")
            said = True
            fcntl.flock(self._file, fcntl.LOCK_EX)
            os.close(self._file)  # its holder may have removed the file
        owner = json.dumps({"process": os.getpid(), "machine": socket.gethostname()})
        os.truncate(self._file, 0)
        os.pwrite(self._file, owner.encode(), 0)
        return self

    def _take(self) -> bool:
        """Open the file of the lock, and lock it if nobody else has done so."""
        folders = (self.directory, *self.directory.parents)
        try:
            self._made = [folder for folder in folders if not folder.exists()]
            self.directory.mkdir(parents=True, exist_ok=True)
            self._found = set(os.listdir(self.directory))
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            self._file = os.open(self.path, flags, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise CheckpointError(
                f"Cannot write to {self.directory}: {error.strerror}; {self.elsewhere}."
            ) from error
        if not self._is_there():  # its holder has removed the file after it was opened here
            os.close(self._file)
            return self._take()
        return True

    def _is_there(self) -> bool:
        """Whether the file that is open is still the one in the directory."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # the directory may have vanished
            self._tidy()
        os.close(self._file)

    def _tidy(self) -> None:
        """Remove new folders without files and, if nothing new is left, the lock and its folders.

        What was there before stays, empty or not.
        """
        if not os.path.exists(self.path):
            return
        known = self._found | {self.path.name}
        for name in set(os.listdir(self.directory)) - known:
            _remove_if_empty(self.directory / name)
        if self.path.name in self._found or set(os.listdir(self.directory)) - known:
            return
        os.unlink(self.path)
        for folder in self._made:
            os.rmdir(folder)

    def check(self) -> None:
        """Check that the directory is still the one that was locked.

        Raises:
            CheckpointError: If it was removed, replaced or unmounted.
        """
        if not self._is_there():
            raise CheckpointError(
                f"{self.directory} has vanished while training; bring it back and run the same "
                "command again, which resumes from the last checkpoint."
            )


def _remove_if_empty(path: Path) -> None:
    """Remove a folder that holds nothing but folders; what holds a file or a link stays whole."""
    if _holds_nothing(path):
        for folder, _, _ in os.walk(path, topdown=False):
            os.rmdir(folder)


def _holds_nothing(path: Path) -> bool:
    if path.is_symlink() or not path.is_dir():
        return False
    with os.scandir(path) as entries:
        return all(_holds_nothing(Path(entry)) for entry in entries)


def _read_holder(file: int) -> str:
    try:
        holder = json.loads(os.pread(file, 4096, 0))
        return f" (process {holder['process']} on {holder['machine']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
