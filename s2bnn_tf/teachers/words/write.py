"""The file of classes named in words, which a device takes like one of enrolled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import DataError
from s2bnn_tf.files import save_arrays
from s2bnn_tf.teachers.words.vectors import WordVectors
from s2bnn_tf.vectors import unit_length

_RATE = 0.05  # of the pictures that the threshold rejects, as classify rejects by default
_LARGEST = 2**28  # bytes of all arrays that a device reads from one file
_NOTHING = -1.0  # the cosine that rejects nothing


def write_words(
    output: Path,
    words: WordVectors,
    *,
    teacher: str = "",
    space: str | None = None,
    pictures: NDArray[np.float32] | None = None,
) -> dict[str, Any]:
    """Write an `.npz` that `s2bnn-run` takes wherever it takes enrolled classes.

    Each word is a class of one example. Beside that, the file holds the teacher, its scale and
    bias, the mean of the words, and that of pictures.

    Args:
        output: The file, replaced atomically.
        words: The words.
        teacher: The name of the network that knows them.
        space: The space of their vectors, as from `teacher_space`; None if it is not known. Then
            the device compares the dimension alone.
        pictures: Vectors of pictures by the student, `(N, D)`. Their mean says where pictures
            are, and the threshold is the cosine to the nearest word that 5 % of them stay below.

    Returns:
        "output", "words" (K), "dim" (D), "teacher", "space", "scale", "bias", and "threshold",
        which is None if nothing is rejected.

    Raises:
        DataError: If a device could not read so many words, or the pictures have another size.
    """
    arrays = _arrays(words, teacher, space, pictures)
    size = sum(array.nbytes for array in arrays.values())
    if size > _LARGEST:
        most = _LARGEST * len(words.names) // size
        raise DataError(
            f"{len(words.names):,} words take {size:,} bytes, and a device reads at most "
            f"{_LARGEST:,}; name at most {most:,} of them."
        )

    save_arrays(output, arrays)
    threshold = float(arrays["threshold"])
    return {
        "output": str(output),
        "words": len(words.names),
        "dim": words.rows.shape[1],
        "teacher": teacher,
        "space": space,
        "scale": words.scale,
        "bias": words.bias,
        "threshold": None if threshold == _NOTHING else threshold,
    }


def _arrays(
    words: WordVectors, teacher: str, space: str | None, pictures: NDArray[np.float32] | None
) -> dict[str, NDArray[Any]]:
    count, dim = words.rows.shape
    picture_mean, threshold = np.zeros(0), _NOTHING
    if pictures is not None:
        if pictures.ndim != 2 or pictures.shape[1] != dim or not len(pictures):
            raise DataError(
                f"The pictures' vectors have the shape {pictures.shape}, and the words "
                f"{dim} numbers; make them with the student of the words' teacher, converted with "
                "--head teacher."
            )
        units = unit_length(pictures)
        picture_mean = units.mean(axis=0, dtype=np.float64)
        threshold = _threshold(units, words.rows)
    return {
        "names": np.array(words.names, np.str_),
        "sums": words.rows,
        "counts": np.ones(count, np.int64),
        "threshold": np.array(threshold, np.float64),
        "space": np.array(space or "", np.str_),
        "splits": np.ones(count, np.int64),
        "kept": np.zeros(count, np.int64),
        "examples": np.zeros((0, dim), np.float32),
        "sources": np.array([], np.str_),
        "is_word": np.ones(count, np.bool_),
        "teacher": np.array(teacher, np.str_),
        "scale": np.array(words.scale, np.float64),
        "bias": np.array(words.bias, np.float64),
        "word_mean": words.rows.mean(axis=0, dtype=np.float64),
        "picture_mean": picture_mean,
    }


def _threshold(pictures: NDArray[np.float32], rows: NDArray[np.float32]) -> float:
    """The cosine to the nearest word that a share of the pictures stays below."""
    best = np.sort([float((rows @ picture).max()) for picture in pictures])
    place = int(np.floor((len(best) + 1) * _RATE))
    # Fewer pictures than it takes to show the rate say nothing about it.
    return float(np.clip(best[place - 1], -1, 1)) if place else _NOTHING
