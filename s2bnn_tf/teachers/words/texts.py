"""From names and descriptions to texts, and from their vectors to one for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import ConfigError, DataError, ModelError
from s2bnn_tf.progress import Progress
from s2bnn_tf.teachers.words.lists import Entry
from s2bnn_tf.teachers.words.vectors import WordVectors

PLAIN = ("{}",)  # the name alone, in any language


class TextEncoder(Protocol):
    """A network from one text to one vector in the space of a teacher.

    Attributes:
        name: What messages call it.
        longest: The largest number of tokens of a text.
        templates: The templates that suit it; `PLAIN` if there are none.
        scale: As in `WordVectors`.
        bias: As in `WordVectors`.
    """

    name: str
    longest: int
    templates: tuple[str, ...]
    scale: float
    bias: float

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, as many as it has."""

    def embed(self, tokens: list[int]) -> NDArray[np.float32]:
        """The vector of a text `(D,)`, of any length."""


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Return the templates.

    Raises:
        ConfigError: If one does not hold `{}` exactly once.
    """
    for template in templates:
        if template.count("{}") != 1:
            raise ConfigError(
                f"--template: {template!r} must hold {{}} once, where the name goes, as in "
                "'a photo of a {}'."
            )
    return tuple(templates)


def texts_of(entry: Entry, templates: Sequence[str]) -> list[str]:
    """The texts of a class: its name in every template, and its descriptions as they are.

    >>> texts_of(Entry("jaguar", ("a spotted cat",)), ["a photo of a {}.", "a {}."])
    ['a photo of a jaguar.', 'a jaguar.', 'a spotted cat']
    """
    named = [template.replace("{}", entry.name) for template in templates]
    return [*named, *entry.descriptions]


def embed_words(
    encoder: TextEncoder,
    entries: Sequence[Entry],
    templates: Sequence[str],
    progress: Progress,
) -> WordVectors:
    """Embed classes: the mean of the unit vectors of their texts, one text a call.

    A text never shares a call with others, since a row of a dynamically quantized network depends
    on its batch.

    Raises:
        DataError: If a text is longer than the encoder takes.
        ModelError: If the encoder returns no finite vector.
    """
    rows = []
    for number, entry in enumerate(entries):
        units = [_embed(encoder, entry.name, text) for text in texts_of(entry, templates)]
        mean = np.mean(units, axis=0)
        length = float(np.linalg.norm(mean))
        if not length:
            raise DataError(f"The texts of {entry.name!r} cancel each other; leave one out.")
        rows.append((mean / length).astype(np.float32))
        progress(f"Embedding words with {encoder.name}", number + 1, len(entries))
    names = [entry.name for entry in entries]
    return WordVectors(names, np.stack(rows), encoder.scale, encoder.bias)


def _embed(encoder: TextEncoder, name: str, text: str) -> NDArray[np.float64]:
    """The unit vector of a text."""
    tokens = encoder.tokens(text)
    if len(tokens) > encoder.longest:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise DataError(
            f"{name!r}: {shown!r} has {len(tokens)} tokens, and {encoder.name} takes at most "
            f"{encoder.longest}; shorten it, or split it with `;`."
        )
    vector = np.asarray(encoder.embed(tokens), np.float64)
    length = float(np.linalg.norm(vector))
    if vector.ndim != 1 or not np.isfinite(length) or not length:
        raise ModelError(f"{encoder.name} returns no vector for {text[:40]!r}.")
    return vector / length
