"""Vectors of names that were made elsewhere: an `.npz` with `names` and `rows`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import DataError
from s2bnn_tf.reading import Array, read_npz
from s2bnn_tf.teachers.words.lists import Entry, nearest

CLIP_SCALE = 100.0  # what CLIP's scale ended at, which is its largest allowed value
_LARGEST = 4 * 2**30  # bytes of one array
_ARRAYS = {
    "names": Array("U", ("names",)),
    "rows": Array("f", ("names", "dim")),
    "scale": Array("fiu", (), low=1e-6, high=1e6, optional=True),
    "bias": Array("fiu", (), low=-1e6, high=1e6, optional=True),
}


@dataclass(frozen=True)
class WordVectors:
    """Vectors of words in the space of a teacher.

    Attributes:
        names: K different names.
        rows: Their vectors of unit length, float32 `(K, D)`.
        scale: What a cosine is multiplied by before a softmax or a sigmoid, above 0.
        bias: What is added then; 0 where there is a softmax.
    """

    names: list[str]
    rows: NDArray[np.float32]
    scale: float = CLIP_SCALE
    bias: float = 0.0


def read_vectors(path: str | Path) -> WordVectors:
    """Read the vectors of names; `scale` and `bias` in the file are optional.

    Raises:
        DataError: If the file is damaged, a name is there twice, or a row is zero.
    """
    try:
        arrays = read_npz(
            path,
            _ARRAYS,
            cure="write one with the arrays names and rows",
            error=DataError,
            limit=_LARGEST,
            follow_links=True,
        )
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check its path.") from error
    names = arrays["names"].tolist()
    if len(set(names)) < len(names) or not all(names):
        raise DataError(f"{path} has a name twice, or an empty one; give each row its own name.")
    scale, bias = float(arrays.get("scale", CLIP_SCALE)), float(arrays.get("bias", 0.0))
    return WordVectors(names, unit_rows(arrays["rows"], path), scale, bias)


def unit_rows(rows: NDArray[np.float32], path: str | Path) -> NDArray[np.float32]:
    """Scale rows `(K, D)` to unit length.

    Raises:
        DataError: If one is zero or not finite.
    """
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    if not rows.size or not np.isfinite(lengths).all() or not lengths.all():
        raise DataError(f"{path} has no rows, or one that is zero or not finite.")
    unit: NDArray[np.float32] = (rows / lengths).astype(np.float32)
    return unit


def pick(known: WordVectors, entries: Sequence[Entry], path: str | Path) -> WordVectors:
    """Pick the vectors of the names in a list.

    Raises:
        DataError: If a name is unknown, or has descriptions, which a vector cannot take up.
    """
    places = {name: number for number, name in enumerate(known.names)}
    for entry in entries:
        if entry.name not in places:
            raise DataError(
                f"{path} has no vector of {entry.name!r}; {nearest(entry.name, known.names)}"
            )
        if entry.descriptions:
            raise DataError(
                f"{entry.name!r} has a description, and {path} holds vectors of names alone; "
                "leave descriptions out, or embed them with --text-encoder."
            )
    rows = known.rows[[places[entry.name] for entry in entries]]
    return WordVectors([entry.name for entry in entries], rows, known.scale, known.bias)
