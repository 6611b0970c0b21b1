"""Bring an index of pictures up to date with its folders."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.errors import PictureError, S2bnnError
from s2bnn_runtime.files import locked
from s2bnn_runtime.index import PictureIndex

INDEX = ".npz"  # how the name of an index ends, which tells it from pictures
_SAVE_AFTER = 30  # seconds, and so many times as long as saving took
_SAVE_SHARE = 20

Stamp = tuple[int, int]


@dataclass(frozen=True)
class Seen:
    """A picture that was read for the index.

    Attributes:
        path: Where it is.
        error: Why it could not be read; None if it is in the index now.
    """

    path: Path
    error: PictureError | None = None


def open_index(path: Path, embedder: Embedder) -> PictureIndex:
    """Open the index in a file, or an empty one if there is no file.

    Raises:
        S2bnnError: If the file is no index, or was made with another model.
    """
    if path.suffix != INDEX:
        raise S2bnnError(f"the index must be named *{INDEX}, not {path.name}")
    if not path.exists():
        return PictureIndex(embedder.space)
    index = PictureIndex.load(path)
    if index.space != embedder.space:
        raise S2bnnError(
            f"{path} was made with another model than {embedder.model}; use that one, or make an "
            "index of its own"
        )
    return index


def changes(
    index: PictureIndex, files: Iterable[Path]
) -> tuple[set[str], list[tuple[Path, Stamp]]]:
    """What has changed since an index was made.

    Args:
        index: The index.
        files: The pictures that it is to hold.

    Returns:
        The paths in the index of files that are gone, and the files that are new or have changed,
        each with its stamp.
    """
    known = dict(zip(index.paths, map(tuple, index.stamps.tolist())))
    new = []
    for path in dict.fromkeys(Path(os.path.abspath(file)) for file in files):
        try:
            status = path.stat()
        except OSError:
            continue  # it has gone since it was listed
        stamp = (status.st_size, status.st_mtime_ns)
        if known.get(str(path)) != stamp:
            new.append((path, stamp))
    return {path for path in known if not os.path.lexists(path)}, new


def update(
    index: PictureIndex,
    embedder: Embedder,
    gone: set[str],
    new: list[tuple[Path, Stamp]],
    output: Path,
) -> Iterator[Seen]:
    """Read new pictures into an index, and write it now and then and at the end.

    What another process has written in the meantime is kept: the file is read again each time
    before it is written.

    Args:
        index: The index, as from `open_index`.
        embedder: The encoder.
        gone: The paths to remove, as from `changes`.
        new: The files to add.
        output: The file to write.

    Yields:
        Each picture when it has been read.

    Raises:
        S2bnnError: If the file cannot be written; the file before then stays as it was.
    """
    waiting: list[tuple[str, Stamp, NDArray[np.float32]]] = []

    def save() -> float:
        start = time.monotonic()
        with locked(output):
            if output.exists():
                index.become(open_index(output, embedder))
            nothing = np.zeros((0, index.vectors.shape[1]), np.float32)
            vectors = [vector for _, _, vector in waiting] or [nothing]
            index.replace(
                gone,
                [path for path, _, _ in waiting],
                [stamp for _, stamp, _ in waiting],
                np.concatenate(vectors),
            )
            index.save(output)
        waiting.clear()
        return time.monotonic() - start

    saved, took = time.monotonic(), 0.0
    stamps = dict(new)
    for path, found in embedder.each(stamps):
        if isinstance(found, PictureError):
            yield Seen(path, found)
        else:
            waiting.append((str(path), stamps[path], found))
            yield Seen(path)
        if time.monotonic() - saved > max(_SAVE_AFTER, _SAVE_SHARE * took):
            took, saved = save(), time.monotonic()
    save()
