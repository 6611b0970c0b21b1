"""Classes that were named in words: what a file of them holds beside the classes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2bnn_runtime.errors import S2bnnError

WORD = "word:"  # what the name of a word begins with where a picture is expected
_NEAREST = 3


@dataclass(frozen=True)
class Words:
    """Where words and pictures are in the space that they share, and what their cosines mean.

    Pictures and words of one CLIP lie in separate cones (https://arxiv.org/abs/2203.02053), so a
    picture is moved by the difference of the two means before it is added to a word.

    Attributes:
        teacher: The name of the network that knows the words; empty if it has none.
        scale: What a cosine is multiplied by before a softmax or a sigmoid.
        bias: What is added then; 0 where there is a softmax.
        mean: The mean of the words' unit vectors, `(D,)`.
        pictures: The mean of pictures' unit vectors, `(D,)`; None if it is not known.
    """

    teacher: str
    scale: float
    bias: float
    mean: NDArray[np.float64]
    pictures: NDArray[np.float64] | None

    def to_words(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move pictures' unit vectors, `(N, D)`, to where words are.

        Raises:
            S2bnnError: If the mean of pictures is not known.
        """
        if self.pictures is None:
            raise S2bnnError(
                "the words do not say where pictures are, so that none can be added to them; make "
                "the file again with `s2bnn words --pictures INDEX.npz`"
            )
        moved: NDArray[np.float64] = units + (self.mean - self.pictures)
        moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
        return moved

    def arrays(self) -> dict[str, ArrayLike]:
        """What is written into the file."""
        nothing = np.zeros(0)
        return {
            "teacher": np.array(self.teacher, np.str_),
            "scale": np.float64(self.scale),
            "bias": np.float64(self.bias),
            "word_mean": self.mean,
            "picture_mean": nothing if self.pictures is None else self.pictures,
        }

    @classmethod
    def read(cls, arrays: dict[str, NDArray[Any]], dim: int) -> Words | None:
        """Read what `arrays` wrote; None from a file without words.

        Raises:
            KeyError, TypeError, ValueError: If it is damaged.
        """
        if "word_mean" not in arrays:
            return None
        scale, bias = float(arrays["scale"]), float(arrays["bias"])
        mean, pictures = (arrays[name].astype(np.float64) for name in ("word_mean", "picture_mean"))
        fits = mean.shape == (dim,) and pictures.shape in ((dim,), (0,))
        if not (fits and np.isfinite([scale, bias]).all() and scale > 0):
            raise ValueError
        if not (np.isfinite(mean).all() and np.isfinite(pictures).all()):
            raise ValueError
        return cls(str(arrays["teacher"]), scale, bias, mean, pictures if len(pictures) else None)


def no_such_name(name: str, known: Iterable[str]) -> S2bnnError:
    """The sentence about a name that there is not, with those that are nearest."""
    known = list(known)
    near = difflib.get_close_matches(name, known, _NEAREST, 0.5)
    if near:
        return S2bnnError(f"there is no class {name!r}; did you mean {' or '.join(near)}?")
    few = ", ".join(known[:20]) + (f" and {len(known) - 20:,} more" if len(known) > 20 else "")
    return S2bnnError(f"there is no class {name!r}; the classes are: {few or 'none'}")
