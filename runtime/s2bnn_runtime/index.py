"""An index of pictures: where they are and what they look like, in one file."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.codes import BITS, encode
from s2bnn_runtime.delegate import nearest
from s2bnn_runtime.errors import S2bnnError
from s2bnn_runtime.files import write_arrays
from s2bnn_runtime.reading import Wanted, map_arrays, match

PRECISIONS = ("float", "int8", "bits")
_SHORTLIST = 1000  # rows that are compared again in floats
_BLOCK = 16_384  # rows that are worked on together
_LONGEST = 1.001  # a number of a vector of unit length, and a cosine, up to rounding
_ARRAYS: dict[str, Wanted] = {
    "space": (np.str_, ()),
    "paths": (np.uint8, ("bytes",)),
    "ends": (np.int64, ("N",)),
    "stamps": (np.int64, ("N", 2)),
    "vectors": (np.float32, ("N", "D")),
    "steps": (np.int8, ("N", "D")),
    "scales": (np.float32, ("N",)),
    "codes": (np.uint64, ("N", BITS // 64)),
    "center": (np.float32, ("D",)),
}


class PictureIndex:
    """Pictures by their paths, each with a vector of unit length in three precisions.

    A file is mapped: a search reads the vectors of its own precision, and of the others the few
    rows that it compares again.

    Attributes:
        space: The space of the embeddings; see `Embedder.space`.
        stamps: Size in bytes and time of change in nanoseconds of each file, `(N, 2)`.
        vectors: `(N, D)`, of unit length.
    """

    def __init__(self, space: str) -> None:
        self.space = space
        self._paths: list[str] | None = []
        self._names = np.zeros(0, np.uint8)  # those of a file, which are read when they are needed
        self._ends = np.zeros(0, np.int64)
        self.stamps = np.zeros((0, 2), np.int64)
        self.vectors = np.zeros((0, 0), np.float32)
        self._steps = np.zeros((0, 0), np.int8)
        self._scales = np.zeros(0, np.float32)
        self._codes = np.zeros((0, BITS // 64), np.uint64)
        self._center = np.zeros(0, np.float32)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def paths(self) -> list[str]:
        """Where each picture is."""
        if self._paths is None:
            self._paths = [self._path(number) for number in range(len(self))]
        return self._paths

    def _path(self, number: int) -> str:
        """Where a picture is, without reading where all others are."""
        if self._paths is not None:
            return self._paths[number]
        begin = int(self._ends[number - 1]) if number else 0
        return os.fsdecode(self._names[begin : int(self._ends[number])].tobytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PictureIndex:
        """Open a file that `save` wrote. Nothing in the file is executed.

        Raises:
            S2bnnError: If the file cannot be read or is of another kind.
        """
        arrays = map_arrays(path)
        try:
            fits = match(arrays, _ARRAYS)
        except KeyError as error:
            raise _no_index(path) from error
        if not fits:
            raise _no_index(path)
        space, paths, ends, stamps, vectors, steps, scales, codes, center = (
            arrays[name] for name in _ARRAYS
        )
        steady = not len(ends) or (ends[0] >= 0 and bool((np.diff(ends) >= 0).all()))
        if not steady or (ends[-1] if len(ends) else 0) != len(paths):
            raise _no_index(path)
        index = cls(str(space))
        index._paths, index._names, index._ends = None, paths, ends
        index.stamps, index.vectors, index._steps = stamps, vectors, steps
        index._scales, index._codes, index._center = scales, codes, center
        return index

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one .npz of plain arrays, whole or not at all.

        Raises:
            S2bnnError: If the file cannot be written; the file before then stays as it was.
        """
        names = [os.fsencode(name) for name in self.paths]
        vectors = np.ascontiguousarray(self.vectors, np.float32)
        dim = vectors.shape[1]
        center = vectors.mean(axis=0) if len(vectors) else np.zeros(dim, np.float32)
        scales = np.abs(vectors).max(axis=1, initial=0) / 127
        steps = np.round(vectors / np.where(scales > 0, scales, 1)[:, np.newaxis])
        values = (
            np.array(self.space, np.str_),
            np.frombuffer(b"".join(names), np.uint8),
            np.cumsum([len(name) for name in names], dtype=np.int64),
            np.ascontiguousarray(self.stamps),
            vectors,
            steps.astype(np.int8),
            scales.astype(np.float32),
            encode(vectors, center) if len(vectors) else np.zeros((0, BITS // 64), np.uint64),
            center.astype(np.float32),
        )
        write_arrays(path, dict(zip(_ARRAYS, values)))

    def become(self, other: PictureIndex) -> None:
        """Hold what another index holds, which should not be used any more."""
        vars(self).update(vars(other))

    def replace(
        self,
        gone: set[str],
        paths: list[str],
        stamps: list[tuple[int, int]],
        vectors: NDArray[np.float32],
    ) -> None:
        """Remove some pictures, and add others; `save` makes them searchable in all precisions.

        Args:
            gone: The paths to remove; those of the others are removed as well.
            paths: The paths to add.
            stamps: Size and time of change of each.
            vectors: The vector of each, `(N, D)`, of any length.

        Raises:
            S2bnnError: If the vectors have another size than those before, or if one of those
                before is not of unit length, as in a damaged file.
        """
        gone = gone | set(paths)
        before = self.paths
        kept = [number for number, path in enumerate(before) if path not in gone]
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        units = (vectors / lengths).astype(np.float32)
        if len(self) and len(paths) and self.vectors.shape[1] != units.shape[1]:
            raise S2bnnError(
                f"the index holds vectors of {self.vectors.shape[1]} numbers, and the model gives "
                f"{units.shape[1]}; index into another file"
            )
        self.vectors = np.concatenate([self.vectors[kept], units]) if kept else units
        if not (np.abs(self.vectors) <= _LONGEST).all():
            raise _damaged()
        added = np.array(stamps, np.int64).reshape(-1, 2)
        self.stamps = np.concatenate([self.stamps[kept], added])
        self._paths = [before[number] for number in kept] + paths

    def search(
        self,
        query: NDArray[np.float32],
        count: int,
        *,
        precision: str = "float",
        leave_out: Callable[[str], bool] | None = None,
        center: NDArray[np.float32] | None = None,
    ) -> list[tuple[str, float]]:
        """The pictures most similar to a vector.

        With int8 and bits, those that may be among them are compared again in floats: at least
        1,000 rows, and all that are as near as the last of these, so that equal codes hide nothing.

        Args:
            query: `(D,)`.
            count: How many to find.
            precision: One of `PRECISIONS`.
            leave_out: Whether a path is no answer, such as that of the query.
            center: What is subtracted from the vector before it becomes bits, `(D,)`: the mean of
                words for a word, which lie elsewhere than pictures. Defaults to the index's own.

        Returns:
            Paths and cosines, the most similar first.

        Raises:
            S2bnnError: If the vector has another size than those of the index, or if one of those
                that are found is not of unit length, as in a damaged file.
        """
        if not len(self):
            return []
        if query.shape != self.vectors.shape[1:]:
            raise S2bnnError(
                f"the index holds vectors of {self.vectors.shape[1]} numbers, not {len(query)}"
            )
        unit = (query / max(float(np.linalg.norm(query)), 1e-12)).astype(np.float32)
        rows = self._shortlist(unit, max(_SHORTLIST, 10 * count), precision, center)
        scores = _products(self.vectors, rows, unit)
        found: list[tuple[str, float]] = []
        for number in np.argsort(-scores, kind="stable"):
            path = self._path(int(rows[number]))
            if not abs(scores[number]) <= _LONGEST:
                raise _damaged()
            if leave_out is None or not leave_out(path):
                found.append((path, float(scores[number])))
            if len(found) == count:
                break
        return found

    def _shortlist(
        self,
        unit: NDArray[np.float32],
        count: int,
        precision: str,
        center: NDArray[np.float32] | None,
    ) -> NDArray[np.int64]:
        """The rows that may be nearest."""
        if precision == "float" or count >= len(self):
            return np.arange(len(self))
        if precision == "bits":
            own = np.asarray(self._center)
            code = encode(unit[np.newaxis], own if center is None else center)[0]
            return nearest(self._codes, code, count)[0]
        distances = -_products(self._steps, np.arange(len(self)), unit) * self._scales
        # Rounding: seven deviations of the difference of two such products.
        uncertain = 3 * np.max(self._scales)
        last = np.partition(distances, count - 1)[count - 1]
        return np.flatnonzero(distances <= last + uncertain)


def _products(
    matrix: NDArray[np.float32] | NDArray[np.int8],
    rows: NDArray[np.int64],
    vector: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The products of some rows with a vector, without a copy of all of them."""
    products = np.zeros(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        whole = block[-1] - block[0] + 1 == len(block)
        part = matrix[block[0] : block[-1] + 1] if whole else matrix[block]
        products[start : start + _BLOCK] = np.ascontiguousarray(part, np.float32) @ vector
    return products


def _no_index(path: str | os.PathLike[str]) -> S2bnnError:
    return S2bnnError(
        f"{os.fspath(path)} is no index of pictures; `s2bnn-run index` makes such a file"
    )


def _damaged() -> S2bnnError:
    return S2bnnError(
        "the index is damaged (a vector is not of unit length); remove its file, and index again"
    )
