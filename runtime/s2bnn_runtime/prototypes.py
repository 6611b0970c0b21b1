"""Classes without training: a name and a few images of it are enough."""

from __future__ import annotations

import errno
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """What one embedding was taken for.

    Attributes:
        name: of the nearest class; None if it is rejected.
        score: cosine to the nearest prototype, -1 to 1.
        nearest: name of the nearest class, whether rejected or not.
    """

    name: str | None
    score: float
    nearest: str


class PrototypeClassifier:
    """Nearest class mean on embeddings of unit length, by cosine.

    A class is the sum of the embeddings that were enrolled for it: classes and examples can be added, and classes forgotten,
    at any time and in any order; nothing is trained.

    >>> classifier = PrototypeClassifier(threshold=0.5)
    >>> classifier.enroll("cat", [[1.0, 0.1], [1.0, -0.1]])
    >>> classifier.enroll("dog", [[0.0, 1.0]])
    >>> [prediction.name for prediction in classifier.predict([[2.0, 0.2], [-1.0, 0.0]])]
    ['cat', None]

    Args:
        threshold: rejects what is less similar to every class, a cosine in [-1, 1]. The default rejects nothing.

    References:
        Prototypical Networks, https://arxiv.org/abs/1703.05175, equation 1, on unit vectors.
    """

    def __init__(self, threshold: float = -1.0) -> None:
        if not -1 <= threshold <= 1:
            raise ValueError(f"threshold is a cosine, -1 to 1, not {threshold}")
        self.threshold = float(threshold)
        self._sums: dict[str, np.ndarray] = {}
        self._counts: dict[str, int] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many examples each class has, in the order of their first."""
        return dict(self._counts)

    def enroll(self, name: str, embeddings: np.ndarray) -> None:
        """Adds examples of a class, new or known.

        Args:
            name: of the class, not empty.
            embeddings: (N, D), N at least 1; their length does not matter.

        Raises:
            ValueError: if they do not fit what is enrolled, or are zero or not finite.
        """
        if not name:
            raise ValueError("a class needs a name")
        units = _unit(embeddings, self._dim())
        self._sums[name] = self._sums.get(name, 0.0) + units.sum(axis=0)
        self._counts[name] = self._counts.get(name, 0) + len(units)

    def forget(self, name: str) -> None:
        """Removes a class.

        Raises:
            KeyError: if there is none of that name.
        """
        if name not in self._sums:
            raise KeyError(f"there is no class {name!r}; there are {', '.join(self._sums) or 'none'}")
        del self._sums[name], self._counts[name]

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Cosine of each embedding (N, D) to each prototype: (N, K), in the order of `counts`.

        Raises:
            ValueError: if no class is enrolled, or the embeddings do not fit.
        """
        if not self._sums:
            raise ValueError("no class is enrolled")
        units = _unit(embeddings, self._dim())
        return units @ _unit(np.stack(list(self._sums.values())), None).T

    def predict(self, embeddings: np.ndarray) -> list[Prediction]:
        """The nearest class of each embedding (N, D); errors as of `scores`."""
        names, scores = list(self._sums), self.scores(embeddings)
        best = scores.argmax(axis=1)
        return [
            Prediction(names[k] if row[k] >= self.threshold else None, float(row[k]), names[k])
            for row, k in zip(scores, best)
        ]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one .npz of plain arrays, whole or not at all."""
        path = Path(path)
        if not path.resolve().parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.resolve().parent))
        handle, partial = tempfile.mkstemp(suffix=".npz", dir=path.resolve().parent)
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
        """Reads what `save` wrote; nothing in the file is executed.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is another kind of file.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                names, sums, counts = arrays["names"].tolist(), arrays["sums"], arrays["counts"].tolist()
                classifier = cls(float(arrays["threshold"]))
        except (KeyError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} holds no enrolled classes; `s2bnn-run enroll` makes such a file") from error
        if not len(names) == len(sums) == len(counts) or not np.isfinite(sums).all():
            raise ValueError(f"{path} holds no enrolled classes (its arrays do not fit)")
        classifier._sums = dict(zip(names, sums))
        classifier._counts = dict(zip(names, counts))
        return classifier

    def _dim(self) -> int | None:
        return next((len(total) for total in self._sums.values()), None)


def _unit(vectors: np.ndarray, dim: int | None) -> np.ndarray:
    """Rows (N, D) with unit length, float64."""
    array = np.asarray(vectors, np.float64)
    if array.ndim != 2 or not len(array) or (dim is not None and array.shape[1] != dim):
        raise ValueError(f"embeddings have shape (N, {dim or 'D'}), not {array.shape}")
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not np.isfinite(array).all() or not lengths.all():
        raise ValueError("an embedding is zero or not finite")
    return array / lengths
