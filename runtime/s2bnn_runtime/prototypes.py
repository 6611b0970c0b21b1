"""Classes without training: a name and a few images of it are enough."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2bnn_runtime.clusters import cluster
from s2bnn_runtime.errors import S2bnnError
from s2bnn_runtime.files import locked, write_arrays
from s2bnn_runtime.reading import Wanted, match, read_arrays
from s2bnn_runtime.thresholds import class_thresholds
from s2bnn_runtime.words import Words, no_such_name

ENOUGH_EXAMPLES = 5  # of a class, with which a threshold for it makes sense
_MOST_EXAMPLES = 100  # of each class that are kept, so that the file is bounded
_MOST_PROTOTYPES = 16  # of a class
_ARRAYS: dict[str, Wanted] = {
    "names": (np.str_, ("K",)),
    "sums": (np.floating, ("K", "D")),
    "counts": (np.integer, ("K",)),
    "threshold": (np.floating, ()),
}
_EXAMPLES: dict[str, Wanted] = {
    "space": (np.str_, ()),
    "examples": (np.floating, ("M", "numbers")),
    "sources": (np.str_, ("M",)),
    "kept": (np.integer, ("K",)),
    "splits": (np.integer, ("K",)),
}
_SAME = 1e-6  # examples whose cosine is nearer to 1 are the same picture


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
    added, and classes forgotten, at any time and in any order. Nothing is trained. Beside the sum,
    up to 100 examples of each class are kept, a random choice of all: each of them, compared with
    its class without it, shows how similar a further picture of the class will be. A class of
    several kinds can have a prototype for each (`split`), made of the examples that are kept.

    A class can begin with a word's vector, from a file that `s2bnn words` made. The word counts as
    one example, and pictures are moved to where words are before they are added (`Words`).

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
        self._examples: dict[str, NDArray[np.float32]] = {}
        self._sources: dict[str, list[str]] = {}
        self._splits: dict[str, int] = {}
        self._clusters: dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]] = {}
        self._words: set[str] = set()  # the classes that began with a word
        self._rows: tuple[NDArray[Any], NDArray[np.int64]] | None = None
        self.space: str | None = None
        self.words: Words | None = None

    def enter(self, space: str) -> None:
        """Say from which space the embeddings are: those of another one cannot be compared.

        The first call names the space of a classifier without classes. One of an earlier version
        has classes and no space; then only the sizes of its embeddings are compared.

        Raises:
            S2bnnError: If the classes are from another space.
        """
        if self.space is None and not self._sums:
            self.space = space
        if self.space not in (None, space):
            if self.words is not None:
                raise S2bnnError(
                    "the words are of another teacher than the model's; convert the student of "
                    f"their teacher{f' {self.words.teacher}' * bool(self.words.teacher)} with "
                    "`s2bnn convert --head teacher`, or make words for this one"
                )
            raise S2bnnError(
                "the classes were enrolled with another model; use that one, or enroll them again "
                "into another file"
            )

    @property
    def counts(self) -> dict[str, int]:
        """How many examples each class has, in the order in which the classes were enrolled."""
        return dict(self._counts)

    def enroll(
        self, name: str, embeddings: ArrayLike, sources: Sequence[str] | None = None
    ) -> None:
        """Add examples of a new or known class.

        Args:
            name: The name of the class, not empty.
            embeddings: An array (N, D) with N at least 1. The length of the vectors does not
                matter.
            sources: Where each is from, for `audit`; by default that is not known.

        Raises:
            S2bnnError: If the embeddings have another size than the enrolled ones, or if one is
                zero or not finite.
        """
        if not name:
            raise S2bnnError("a class needs a name")
        units = _unit(embeddings, self._dim())
        moved = self._moved(units)
        self._clusters.pop(name, None)
        self._rows = None
        for unit, place, source in zip(units, moved, sources or [""] * len(units)):
            self._keep(name, unit, source)
            self._sums[name] = self._sums.get(name, 0) + place
            self._counts[name] = self._counts.get(name, 0) + 1

    def add_words(self, names: Sequence[str], vectors: ArrayLike, words: Words) -> None:
        """Begin with classes that are words; nothing may be enrolled before.

        Args:
            names: K different names.
            vectors: The vector of each, an array (K, D), of any length.
            words: What else is known about them.

        Raises:
            S2bnnError: If a vector is zero or not finite.
        """
        units = _unit(vectors, None).astype(np.float32)
        self.words, self._rows = words, None
        self._sums = dict(zip(names, units))
        self._words = set(names)
        self._counts = dict.fromkeys(names, 1)

    def vector(self, name: str) -> NDArray[np.float64]:
        """The direction of a class, of unit length, `(D,)`.

        Raises:
            S2bnnError: If there is no class of that name; the nearest are offered.
        """
        self._check_name(name)
        unit: NDArray[np.float64] = _unit(self._sums[name][np.newaxis], None)[0]
        return unit

    def _moved(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pictures' vectors as they are added to classes."""
        return units if self.words is None else self.words.to_words(units)

    def _keep(self, name: str, unit: NDArray[np.float64], source: str) -> None:
        """Keep an example, so that those kept are always a random choice of all."""
        count = self._counts.get(name, 0) - (name in self._words)
        kept = self._examples.get(name, np.zeros((0, len(unit)), np.float32))
        if count > len(kept) and len(kept) < _MOST_EXAMPLES:
            return  # of an earlier version, which kept none: a choice of the new ones would not do
        if len(kept) < _MOST_EXAMPLES:
            self._examples[name] = np.concatenate([kept, unit[np.newaxis].astype(np.float32)])
            self._sources.setdefault(name, []).append(source)
            return
        place = int(np.random.default_rng(count).integers(count + 1))
        if place < _MOST_EXAMPLES:
            kept[place], self._sources[name][place] = unit, source

    def confirm(
        self, name: str, embeddings: ArrayLike, sources: Sequence[str] | None = None
    ) -> int:
        """Add pictures that somebody confirmed to be of a known class; each counts once.

        Args:
            name: The name of a known class.
            embeddings: An array (N, D).
            sources: Where each is from, as for `enroll`.

        Returns:
            How many were new: those that equal a kept example, or one before them, are not added.

        Raises:
            S2bnnError: If there is no class of that name, or like `enroll`.
        """
        self._check_name(name)
        units = _unit(embeddings, self._dim())
        known = self.examples(name)
        numbers = [
            number - len(known)
            for number in distinct_rows(np.concatenate([known, units]))
            if number >= len(known)
        ]
        if numbers:
            named = sources or [""] * len(units)
            self.enroll(name, units[numbers], [named[number] for number in numbers])
        return len(numbers)

    def split(self, name: str, prototypes: int) -> None:
        """Give a class several prototypes, or one again.

        Raises:
            S2bnnError: If there is no class of that name, or the number is not from 1 to 16.
        """
        self._check_name(name)
        if not 1 <= prototypes <= _MOST_PROTOTYPES:
            raise S2bnnError(f"a class has 1 to {_MOST_PROTOTYPES} prototypes, not {prototypes}")
        self._splits[name] = prototypes
        self._clusters.pop(name, None)
        self._rows = None

    def forget(self, name: str) -> None:
        """Remove a class.

        Raises:
            S2bnnError: If there is no class of that name.
        """
        self._check_name(name)
        del self._sums[name], self._counts[name]
        for kept in (self._examples, self._sources, self._splits, self._clusters):
            kept.pop(name, None)
        self._words.discard(name)
        self._rows = None

    def examples(self, name: str) -> NDArray[np.float64]:
        """The kept examples of a class, of unit length, `(M, D)`."""
        dim = self._dim() or 0
        return self._examples.get(name, np.zeros((0, dim), np.float32)).astype(np.float64)

    def sources(self, name: str) -> list[str]:
        """Where each of the kept examples of a class is from; empty text if that is not known."""
        return list(self._sources.get(name, []))

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
        if self._rows is None:  # once for all pictures, since there may be 100,000 words
            sums = [self._prototypes(name)[0] for name in self._sums]
            starts = np.cumsum([0, *map(len, sums[:-1])])
            dtype = np.float64 if self.words is None else np.float32
            self._rows = _in_place(np.concatenate(sums, dtype=dtype)), starts
        rows, starts = self._rows
        cosines: NDArray[np.float64] = np.maximum.reduceat(
            np.asarray(units.astype(rows.dtype) @ rows.T, np.float64), starts, axis=1
        )
        return cosines

    def predict(
        self, embeddings: ArrayLike, thresholds: Mapping[str, float] | None = None
    ) -> list[Prediction]:
        """The nearest class of each embedding.

        Args:
            embeddings: An array (N, D).
            thresholds: The smallest cosine of each class, as from `calibrated`; defaults to the
                one threshold.

        Returns:
            N predictions.

        Raises:
            S2bnnError: Like `scores`.
        """
        names, scores = list(self._sums), self.scores(embeddings)
        least = [self.threshold if thresholds is None else thresholds[name] for name in names]
        best = scores.argmax(axis=1)
        return [
            Prediction(names[k] if row[k] >= least[k] else None, float(row[k]), names[k])
            for row, k in zip(scores, best)
        ]

    def calibrated(self, false_alarms: float) -> dict[str, float] | None:
        """Choose for each class the smallest cosine with which it is named.

        Each kept example is compared with its class without it. The threshold is one that a
        further picture of the class misses at the given rate.

        Args:
            false_alarms: The share of further pictures of a class that may be rejected.

        Returns:
            A cosine for each class; None if the classes have too few examples. A word without
            pictures is never rejected.

        Raises:
            S2bnnError: If the rate is no share.
        """
        distances = {}
        for name in self._sums:
            different = distinct_rows(self.examples(name))
            left_out = self.left_out(name)[different] if len(different) > 1 else np.zeros(0)
            distances[name] = 1 - left_out
        chosen = class_thresholds(distances, false_alarms)
        if chosen is None:
            return None
        words = self._words - self._examples.keys()
        return {n: -1.0 if n in words else max(1 - far, -1.0) for n, far in chosen.items()}

    def left_out(self, name: str) -> NDArray[np.float64]:
        """The cosine of each kept example of a class to the class without it, `(M,)`.

        Examples that are the same picture are left out together, since a further picture has no
        twin among them. It is 0 where nothing else remains of a class.
        """
        examples = self.examples(name)
        sums, members = self._prototypes(name)
        cosines = np.zeros((len(examples), len(sums)))
        moved = self._moved(examples) if len(examples) else examples
        same = (examples @ examples.T > 1 - _SAME).astype(moved.dtype)
        for number, total in enumerate(sums):
            own = (members == number)[:, np.newaxis]
            rest = total - same @ np.where(own, moved, 0)
            lengths = np.linalg.norm(rest, axis=1)
            alone = lengths < 1e-6
            found = (examples * rest).sum(axis=1) / np.where(alone, 1, lengths)
            cosines[:, number] = np.where(alone, 0.0 if len(sums) == 1 else -1.0, found)
        best: NDArray[np.float64] = cosines.max(axis=1)
        return best

    def _prototypes(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The sums of a class, `(P, D)`, and in which of them each kept example is, `(M,)`."""
        examples = self.examples(name)
        if self._splits.get(name, 1) == 1 or not len(examples):
            return self._sums[name][np.newaxis], np.zeros(len(examples), np.int64)
        if name not in self._clusters:
            members = cluster(examples, self._splits[name])
            moved = self._moved(examples)
            sums = [moved[members == number].sum(axis=0) for number in range(members.max() + 1)]
            self._clusters[name] = np.stack(sums), members
        return self._clusters[name]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one .npz of plain arrays, whole or not at all.

        Raises:
            S2bnnError: If the file cannot be written.
        """
        examples = [self._examples.get(name) for name in self._sums]
        kept = [array for array in examples if array is not None]
        dtype = np.float64 if self.words is None else np.float32  # of up to 100,000 words
        own: dict[str, ArrayLike] = {}
        if self.words is not None:
            own = self.words.arrays()
            own["is_word"] = np.array([name in self._words for name in self._sums], np.bool_)
        write_arrays(
            path,
            {
                **own,
                "names": np.array(list(self._sums), dtype=np.str_),
                "sums": np.array(list(self._sums.values()), dtype=dtype),
                "counts": np.array(list(self._counts.values()), dtype=np.int64),
                "threshold": np.float64(self.threshold),
                "space": np.array(self.space or "", dtype=np.str_),
                "splits": np.array([self._splits.get(name, 1) for name in self._sums], np.int64),
                "kept": np.array([0 if e is None else len(e) for e in examples], np.int64),
                "examples": np.concatenate(kept) if kept else np.zeros((0, 0), np.float32),
                "sources": np.array(
                    [source for name in self._sums for source in self._sources.get(name, [])],
                    dtype=np.str_,
                ),
            },
        )

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
                f"{path} holds no enrolled classes; `s2bnn-run enroll` or `s2bnn words` makes "
                "such a file"
            ) from error
        if sums.shape == (0,):  # as `save` writes them after the last class was forgotten
            sums = arrays["sums"] = sums.reshape(0, 0)
        if not (
            match(arrays, _ARRAYS)
            and len(set(names.tolist())) == len(names)
            and np.isfinite(sums).all()
            and (counts > 0).all()
            and -1 <= threshold <= 1
        ):
            raise S2bnnError(f"{path} holds no enrolled classes: its arrays do not match")
        classifier = cls(float(threshold))
        sums = sums if "word_mean" in arrays else sums.astype(np.float64)
        classifier._sums = dict(zip(names.tolist(), sums))
        classifier._counts = dict(zip(names.tolist(), counts.tolist()))
        try:
            classifier._read_examples(arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise S2bnnError(
                f"{path} holds no enrolled classes: its examples do not match"
            ) from error
        return classifier

    def _read_examples(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Read what files of earlier versions do not have."""
        if "examples" not in arrays:
            return
        self.space = str(arrays["space"]) or None
        self.words = Words.read(arrays, self._dim() or len(arrays.get("word_mean", ())))
        if self.words is not None:
            begun = arrays["is_word"]
            if begun.shape != (len(self._sums),) or begun.dtype != np.bool_:
                raise ValueError
            self._words = {name for name, word in zip(self._sums, begun) if word}
        examples, sources, kept, splits = (
            arrays[name] for name in ("examples", "sources", "kept", "splits")
        )
        if (
            not match(arrays, _ARRAYS | _EXAMPLES)
            or not ((splits >= 1) & (splits <= _MOST_PROTOTYPES)).all()
            or kept.sum() != len(examples)
            or (kept < 0).any()
            or (kept > list(self._counts.values())).any()
            or (len(examples) and examples.shape[1] != self._dim())
            or not np.isfinite(examples).all()
        ):
            raise ValueError
        self._splits = dict(zip(self._sums, splits.tolist()))
        ends = np.cumsum(kept)
        for name, begin, end in zip(self._sums, ends - kept, ends):
            if end > begin:
                self._examples[name] = examples[begin:end].astype(np.float32)
                self._sources[name] = sources[begin:end].tolist()

    @classmethod
    @contextmanager
    def edit(
        cls, path: str | os.PathLike[str], onto: str | os.PathLike[str] | None = None
    ) -> Iterator[PrototypeClassifier]:
        """Load a file, or begin a new one, let the body change it, and save it.

        A new one begins with the classes of the file `onto`, which stays as it is.

        Other processes that edit a file in the same folder wait for each other, so none of their
        changes is lost. The lock belongs to the process and ends with it. If the body raises, the
        file stays as it was.

        Raises:
            S2bnnError: Like `load` and `save`.
        """
        path = Path(path)
        with locked(path):
            begin = path if path.exists() else onto
            classifier = cls() if begin is None else cls.load(begin)
            yield classifier
            classifier.save(path)

    def _check_name(self, name: str) -> None:
        if name not in self._sums:
            raise no_such_name(name, self._sums)

    def _dim(self) -> int | None:
        return next((len(total) for total in self._sums.values()), None)


def distinct_rows(units: NDArray[np.float64]) -> list[int]:
    """The numbers of the rows (N, D), of unit length, that do not equal one before them."""
    equal = np.tril(units @ units.T > 1 - _SAME, -1).any(axis=1)
    return [int(number) for number in np.flatnonzero(~equal)]


def _in_place(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows (N, D) scaled to unit length, without a second copy of them."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise S2bnnError("the examples of a class cancel each other; forget it and enroll it anew")
    rows /= lengths
    return rows


def _unit(vectors: ArrayLike, dim: int | None) -> NDArray[np.float64]:
    """Rows (N, D) with unit length."""
    array = np.asarray(vectors, np.float64)
    if array.ndim != 2 or not len(array):
        raise S2bnnError(f"embeddings have shape (N, {dim or 'D'}), not {array.shape}")
    if dim is not None and array.shape[1] != dim:
        raise S2bnnError(
            f"the classes have {dim} numbers each, and the model gives {array.shape[1]}; use the "
            "model that they were made for"
        )
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    if not np.isfinite(array).all() or not lengths.all():
        raise S2bnnError("an embedding is zero or not finite")
    units: NDArray[np.float64] = array / lengths
    return units
