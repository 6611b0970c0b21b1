"""Files that are written completely or not at all, and their checksums."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from s2bnn_tf.errors import CheckpointError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replaced(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Yield temporary files to be filled, which replace `paths` at the end.

    Each temporary file is beside its path, and its name has the same ending. After a kill or a
    power failure each path holds either the old file or the new one. If the block raises, the old
    files stay and nothing else is left behind. Missing parent directories are created.

    Raises:
        OSError: If a file cannot be written; it names the path, not the temporary file.
    """
    partials = []
    with _naming(*paths), contextlib.ExitStack() as cleanup:
        for path in paths:
            cleanup.enter_context(made_folder(path.parent))
            handle, name = tempfile.mkstemp(prefix=".", suffix=f"-{path.name}", dir=path.parent)
            os.close(handle)
            partials.append(Path(name))
            cleanup.callback(partials[-1].unlink, missing_ok=True)
        yield tuple(partials)
        for partial in partials:
            partial.chmod(0o666 & ~_umask())  # mkstemp makes it private
            flush(partial)
        for partial, path in zip(partials, paths):
            os.replace(partial, path)
            flush(path.parent)


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Create a folder and those above it, as far as they are missing.

    If the body raises, those of them that are empty are removed again.

    Raises:
        OSError: If it cannot be created.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # one that is not empty, or was never made
            for path in missing:
                path.rmdir()
        raise


@contextlib.contextmanager
def _naming(*paths: Path) -> Iterator[None]:
    """Let an OSError of the body name the path that was asked for, not a temporary file or none."""
    try:
        yield
    except OSError as error:
        name = None if error.filename is None else os.path.basename(os.fsdecode(error.filename))
        for path in paths:
            if name is None and error.errno in _NO_ROOM:
                error.filename = str(path)
            elif name is not None and name.startswith(".") and name.endswith(f"-{path.name}"):
                error.filename = str(path)
        raise


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file that then replaces `path`; see `replaced`."""
    with replaced(path) as (partial,):
        write(partial)


def write_arrays(file: Path, arrays: Mapping[str, Any], *, compressed: bool = False) -> None:
    """Write an `.npz` of plain arrays, which `numpy.load` reads without pickle.

    `numpy.savez` leaves its archive open when the disk is full, and Python then prints a traceback.

    Raises:
        OSError: If it cannot be written.
        ValueError: If an array holds objects.
    """
    import numpy as np

    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(values), allow_pickle=False)


def save_arrays(path: Path, arrays: Mapping[str, Any], *, compressed: bool = False) -> None:
    """Write an `.npz` as `write_arrays` does, completely or not at all."""
    replace_file(path, lambda partial: write_arrays(partial, arrays, compressed=compressed))


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all."""
    # Names of files may hold bytes that are not UTF-8.
    data = text.encode(errors="backslashreplace")
    replace_file(path, lambda partial: partial.write_bytes(data))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as indented JSON, completely or not at all.

    Raises:
        ValueError: If a number is not finite.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_folder(output: Path, texts: Mapping[str, str]) -> None:
    """Write a new folder of text files in UTF-8, completely or not at all.

    Args:
        output: The folder, which must not exist.
        texts: The files' contents, by name.
    """
    with _naming(output), made_folder(output.parent):
        with tempfile.TemporaryDirectory(f"-{output.name}", ".", output.parent) as temporary:
            folder = Path(temporary) / output.name
            folder.mkdir()
            for name, text in texts.items():
                (folder / name).write_text(text, "utf-8")
                flush(folder / name)
            folder.rename(output)
            flush(output.parent)


def refuse_links(*paths: Path) -> None:
    """Refuse paths in a directory of ours that are symbolic links.

    A directory may come from somebody else, and its links would make us write, truncate or delete
    files elsewhere.

    Raises:
        CheckpointError: If one of the paths is a symbolic link.
    """
    for path in paths:
        if path.is_symlink():
            raise CheckpointError(
                f"{path} is a symbolic link, which is not followed there; put the file or folder "
                "itself in its place."
            )


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file in hexadecimal."""
    return _digest(path, hashlib.sha256())


def md5(path: Path) -> str:
    """Return the MD5 digest of a file in hexadecimal; it shows damage, but no forgery."""
    return _digest(path, hashlib.md5(usedforsecurity=False))


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
