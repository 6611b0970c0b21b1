"""Files that a user names on the command line."""

from __future__ import annotations

import fcntl
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from s2bnn_runtime.errors import S2bnnError, file_errors
from s2bnn_runtime.interpreter import Interpreter
from s2bnn_runtime.reading import read_bytes
from s2bnn_runtime.starter import STARTER, is_missing


def open_model(path: Path, threads: int = 1, **options: Any) -> Interpreter:
    """Make an `Interpreter` for a file.

    Args:
        path: A `.tflite`.
        threads: The number of threads for one prediction.
        options: Other arguments of `Interpreter`.

    Raises:
        S2bnnError: If the file cannot be read or run; the message names it.
    """
    if is_missing(path):
        raise S2bnnError(f"this build of s2bnn_runtime ships no {STARTER}; name a .tflite instead")
    content = read_bytes(path, limit=2**31)
    try:
        return Interpreter(content, threads, **options)
    except S2bnnError as error:
        raise S2bnnError(f"{path} cannot be run: {error}") from error


def read_labels(path: Path) -> list[str]:
    """Read the lines of a text file.

    Raises:
        S2bnnError: If it cannot be read or is not a text file.
    """
    try:
        return read_bytes(path).decode("utf-8-sig").rstrip("\r\n").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise S2bnnError(
            f"{path} is not a text file; labels are UTF-8 text with one class per line"
        ) from error


def write_arrays(path: str | os.PathLike[str], arrays: dict[str, ArrayLike]) -> None:
    """Write one .npz of plain arrays, whole or not at all.

    Raises:
        S2bnnError: If the file cannot be written; the file before then stays as it was.
    """
    with replaced(path) as file:
        _write_npz(file, arrays)


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a file to be written, which replaces that at the path if the body succeeds.

    A link stays a link, and the file that it leads to is replaced. It keeps its permissions.

    Raises:
        S2bnnError: If the file cannot be written; the file before then stays as it was.
    """
    target = _target(path)
    with file_errors(), _naming(Path(path)):
        handle, partial = tempfile.mkstemp(prefix=".", suffix=target.suffix, dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fchmod(handle, _mode(target))
                os.fsync(handle)
            os.replace(partial, target)
        finally:
            Path(partial).unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Check that a file can be written, before the work of computing what goes into it.

    Raises:
        S2bnnError: If its folder does not exist, or may not be written to.
    """
    folder = _target(path).parent
    if not os.access(folder, os.W_OK):
        raise S2bnnError(f"{folder} may not be written to; choose another one for {path.name}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Run the body while no other process holds a lock on a file in the same folder.

    The lock ends with the process.

    Raises:
        S2bnnError: If the folder does not exist.
    """
    with file_errors():
        folder = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _target(path: str | os.PathLike[str]) -> Path:
    """The file that a path leads to through all links, in a folder that exists."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise S2bnnError(f"{target.parent} does not exist; check its path")
    return target


def _mode(target: Path) -> int:
    """The permissions of a file, or of a new one, which `tempfile` would make private."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0o022)
    os.umask(umask)
    return 0o666 & ~umask


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an OSError of the body name the user's file, and not the temporary one or none."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _write_npz(file: BinaryIO, arrays: dict[str, ArrayLike]) -> None:
    """Write what `numpy.savez` does, which leaves its archive open when the disk is full."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(values), allow_pickle=False)
