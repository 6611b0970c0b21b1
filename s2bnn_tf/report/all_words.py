"""A page with every word and the pictures that student and teacher put first for it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from s2bnn_tf.data import ImageSource
from s2bnn_tf.evaluation import make_thumbnails
from s2bnn_tf.files import write_text
from s2bnn_tf.report.charts import palette
from s2bnn_tf.report.rendering import render

MOST_WORDS = 2000  # of a page, which stays light: each shows up to ten pictures
_SIDE = 48  # pixels of a picture
_AT_ONCE = 256  # pictures that are read


@dataclass(frozen=True)
class FoundByWords:
    """What student and teacher find by each of K words.

    Attributes:
        names: The words.
        student: The pictures that the student puts first, the nearest first, `(K, P)`.
        teacher: Those by the teacher, `(K, P)`.
        named: How many pictures the teacher names by the word, `(K,)`.
        agreed: For how many of these the student's nearest word is the same, `(K,)`.
    """

    names: list[str]
    student: NDArray[np.integer[Any]]
    teacher: NDArray[np.integer[Any]]
    named: NDArray[np.integer[Any]]
    agreed: NDArray[np.integer[Any]]


def write_words_page(output: Path, title: str, found: FoundByWords, source: ImageSource) -> None:
    """Write the page, which needs no network and no script, and holds each picture once.

    Of more than `MOST_WORDS` words, those are left out that the teacher uses least; the page says
    so.

    Args:
        output: The `.html`, replaced atomically.
        title: What the words are of.
        found: What student and teacher find.
        source: The pictures that it speaks of.
    """
    shown = np.sort(np.argsort(-found.named, kind="stable")[:MOST_WORDS])
    pictures, places = np.unique(
        np.stack([found.student[shown], found.teacher[shown]]), return_inverse=True
    )
    student, teacher = places.reshape(2, len(shown), -1).tolist()
    page = render(
        "words.html.j2",
        palette=palette(),
        title=title,
        total=len(found.names),
        pictures=_small(source, pictures),
        side=_SIDE,
        words=[
            {
                "name": found.names[number],
                "named": int(found.named[number]),
                "agreed": int(found.agreed[number]),
                "rows": (("Student", student[row]), ("Teacher", teacher[row])),
            }
            for row, number in enumerate(shown)
        ],
    )
    write_text(output, page)


def _small(source: ImageSource, indices: NDArray[np.integer[Any]]) -> list[str]:
    """Pictures as small ones in JPEG, each in an address of its own."""
    addresses = []
    for start in range(0, len(indices), _AT_ONCE):
        for pixels in make_thumbnails(source, indices[start : start + _AT_ONCE]):
            image, buffer = Image.fromarray(pixels), io.BytesIO()
            image.thumbnail((_SIDE, _SIDE))
            image.save(buffer, "JPEG", quality=75, optimize=True)
            data = base64.b64encode(buffer.getvalue()).decode()
            addresses.append(f"data:image/jpeg;base64,{data}")
    return addresses
