"""Files that appear whole or not at all, and their checksums."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def replaced(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Give temporary files to be filled; at the end they take the places of `paths`.

    Each lies beside its path, and its name ends like it. After a kill or a power cut each path
    is the old file or the new one. If the block raises, the old files stay and nothing is left
    behind. Missing parents are made.

    Raises:
        OSError: if a file cannot be written.
    """
    partials = []
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".", suffix=f"-{path.name}", dir=path.parent)
            os.close(handle)
            partials.append(Path(name))
        yield tuple(partials)
        for partial in partials:
            partial.chmod(0o666 & ~_umask())  # mkstemp makes it private
            flush(partial)
        for partial, path in zip(partials, paths):
            os.replace(partial, path)
            flush(path.parent)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then put it in the place of `path`; see `replaced`."""
    with replaced(path) as (partial,):
        write(partial)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, whole or not at all."""
    replace_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: dict) -> None:
    """Write an object as indented JSON, whole or not at all.

    Raises:
        ValueError: if a number is not finite.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
