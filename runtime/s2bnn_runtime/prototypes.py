"""Classes without training: a name and a few images of it are enough."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2bnn_runtime.errors import S2bnnError, file_errors
from s2bnn_runtime.reading import read_arrays


@dataclass(frozen=True)
class Prediction:
    """The class of one embedding.

    Attributes:
        name: The name of the nearest class, or None if the embedding is rejected.
        score: The cosine to the nearest prototype, -1 to 1.
        nearest: The name of the nearest class, whether the embedding is rejected or not.
    """

    name: str | None
    score: float
    nearest: str


class PrototypeClassifier:
    """Nearest class mean by cosine, on embeddings of unit length.

    A class is the sum of the embeddings that were enrolled for it, so classes and examples can be
    added, and classes forgotten, at any time and in any order. Nothing is trained.

    >>> classifier = PrototypeClassifier(threshold=0.5)
    >>> classifier.enroll("cat", [[1.0, 0.1], [1.0, -0.1]])
    >>> classifier.enroll("dog", [[0.0, 1.0]])
    >>> [prediction.name for prediction in classifier.predict([[2.0, 0.2], [-1.0, 0.0]])]
    ['cat', None]

    Args:
        threshold: A cosine in [-1, 1]. An embedding that is less similar to every class is
            rejected; the default rejects nothing.

    Raises:
        S2bnnError: If the threshold is not in [-1, 1].

    References:
        Prototypical Networks, https://arxiv.org/abs/1703.05175, equation 1, on unit vectors.
    """

    def __init__(self, threshold: float = -1.0) -> None:
        if not -1 <= threshold <= 1:
            raise S2bnnError(f"threshold is a cosine, -1 to 1, not {threshold}")
        self.threshold = float(threshold)
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._counts: dict[str, int] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many examples each class has, in the order in which the classes were enrolled."""
        return dict(self._counts)

    def enroll(self, name: str, embeddings: ArrayLike) -> None:
        """Add examples of a new or known class.

        Args:
            name: The name of the class, not empty.
            embeddings: An array (N, D) with N at least 1. The length of the vectors does not
                matter.

        Raises:
            S2bnnError: If the embeddings have another size than the enrolled ones, or if one is
                zero or not finite.
        """
        if not name:
            raise S2bnnError("a class needs a name")
        units = _unit(embeddings, self._dim())
        self._sums[name] = self._sums.get(name, np.zeros(units.shape[1])) + units.sum(axis=0)
        self._counts[name] = self._counts.get(name, 0) + len(units)

    def forget(self, name: str) -> None:
        """Remove a class.

        Raises:
            S2bnnError: If there is no class of that name.
        """
        if name not in self._sums:
            known = ", ".join(self._sums) or "none"
            raise S2bnnError(f"there is no class {name!r}; the classes are: {known}")
        del self._sums[name], self._counts[name]

    def scores(self, embeddings: ArrayLike) -> NDArray[np.float64]:
        """The cosine of each embedding to each prototype.

        Args:
            embeddings: An array (N, D).

        Returns:
            An array (N, K), with the classes in the order of `counts`.

        Raises:
            S2bnnError: If no class is enrolled, or for embeddings that `enroll` would refuse.
        """
        if not self._sums:
            raise S2bnnError("no class is enrolled")
        units = _unit(embeddings, self._dim())
        cosines: NDArray[np.float64] = units @ _unit(np.stack(list(self._sums.values())), None).T
        return cosines

    def predict(self, embeddings: ArrayLike) -> list[Prediction]:
        """The nearest class of each embedding.

        Args:
            embeddings: An array (N, D).

        Returns:
            N predictions.

        Raises:
            S2bnnError: Like `scores`.
        """
        names, scores = list(self._sums), self.scores(embeddings)
        best = scores.argmax(axis=1)
        return [
            Prediction(names[k] if row[k] >= self.threshold else None, float(row[k]), names[k])
            for row, k in zip(scores, best)
        ]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one .npz of plain arrays, whole or not at all.

        Raises:
            S2bnnError: If the file cannot be written.
        """
        path = Path(path)
        folder = path.resolve().parent
        if not folder.is_dir():
            raise S2bnnError(f"{folder} does not exist; check its path")
        with file_errors():
            handle, partial = tempfile.mkstemp(suffix=".npz", dir=folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    np.savez(
                        file,
                        names=np.array(list(self._sums), dtype=np.str_),
                        sums=np.array(list(self._sums.values()), dtype=np.float64),
                        counts=np.array(list(self._counts.values()), dtype=np.int64),
                        threshold=np.float64(self.threshold),
                    )
                os.replace(partial, path)
            finally:
                Path(partial).unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PrototypeClassifier:
        """Read a file that `save` wrote. Nothing in the file is executed.

        Raises:
            S2bnnError: If the file cannot be read or is of another kind.
        """
        try:
            arrays = read_arrays(path)
            names, sums, counts = arrays["names"], arrays["sums"], arrays["counts"]
            threshold = arrays["threshold"]
        except KeyError as error:
            raise S2bnnError(
                f"{path} holds no enrolled classes; `s2bnn-run enroll` makes such a file"
            ) from error
        numbers = counts.dtype.kind in "iu" and {sums.dtype.kind, threshold.dtype.kind} <= {"f"}
        empty = sums.shape == (0,)  # as `save` writes them after the last class was forgotten
        if not (
            numbers
            and names.dtype.kind == "U"
            and (names.ndim, sums.ndim + empty, counts.ndim, threshold.ndim) == (1, 2, 1, 0)
            and len(names) == len(sums) == len(counts)
            and len(set(names.tolist())) == len(names)
            and np.isfinite(sums).all()
            and (counts > 0).all()
            and -1 <= threshold <= 1
        ):
            raise S2bnnError(f"{path} holds no enrolled classes: its arrays do not match")
        classifier = cls(float(threshold))
        classifier._sums = dict(zip(names.tolist(), sums.astype(np.float64)))
        classifier._counts = dict(zip(names.tolist(), counts.tolist()))
        return classifier

    @classmethod
    @contextmanager
    def edit(cls, path: str | os.PathLike[str]) -> Iterator[PrototypeClassifier]:
        """Load a file, or begin a new one, let the body change it, and save it.

        Other processes that edit a file in the same folder wait for each other, so none of their
        changes is lost. The lock belongs to the process and ends with it. If the body raises, the
        file stays as it was.

        Raises:
            S2bnnError: Like `load` and `save`.
        """
        path = Path(path)
        with file_errors():
            folder = os.open(path.resolve().parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            classifier = cls.load(path) if path.exists() else cls()
            yield classifier
            classifier.save(path)
        finally:
            os.close(folder)

    def _dim(self) -> int | None:
        return next((len(total) for total in self._sums.values()), None)


def _unit(vectors: ArrayLike, dim: int | None) -> NDArray[np.float64]:
    """Rows (N, D) with unit length."""
    array = np.asarray(vectors, np.float64)
    if array.ndim != 2 or not len(array) or (dim is not None and array.shape[1] != dim):
        raise S2bnnError(f"embeddings have shape (N, {dim or 'D'}), not {array.shape}")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not np.isfinite(array).all() or not lengths.all():
        raise S2bnnError("an embedding is zero or not finite")
    units: NDArray[np.float64] = array / lengths
    return units
