"""How well enrolled classes can be told apart, by their own examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.prototypes import PrototypeClassifier, distinct_rows

_SAME = 1e-6  # a cosine nearer to 1 is the same picture
_FEW = 3  # different examples, with which another one always helps
_GAIN = 0.02  # of the margin, from half of the examples to all, that another one would continue
_DRAWS = 10


@dataclass(frozen=True)
class ClassAudit:
    """What the examples of a class say about it, each compared with the classes without it.

    Attributes:
        name: The class.
        examples: How many of its examples were kept.
        recognized: The share of them that is nearest to the class.
        margin: The mean cosine to the class, less that to the nearest other class.
        confused_with: The class that most of the others are nearest to, or None.
        wrong: For each example that is nearest to another class, where it is from, and that class.
        shared: For each example that is also one of another class, where it is from, and that
            class.
        another_helps: Whether a further example would probably make the class more distinct.
    """

    name: str
    examples: int
    recognized: float
    margin: float
    confused_with: str | None
    wrong: list[tuple[str, str]]
    shared: list[tuple[str, str]]
    another_helps: bool


def audit(classifier: PrototypeClassifier) -> list[ClassAudit]:
    """Audit all classes of which examples were kept.

    Raises:
        S2bnnError: If no class is enrolled.
    """
    names = list(classifier.counts)
    found = []
    for index, name in enumerate(names):
        examples, sources = classifier.examples(name), classifier.sources(name)
        if not len(examples):
            continue
        others = classifier.scores(examples)
        others[:, index] = -1
        rivals, rival = others.max(axis=1), others.argmax(axis=1)
        margins = classifier.left_out(name) - rivals
        different = distinct_rows(examples)
        # The only picture of a class says nothing when it is left out, however often it is there.
        bad = margins < 0 if len(different) > 1 else np.zeros(len(examples), bool)
        confused = np.bincount(rival[bad], minlength=len(names))
        shared = [
            (sources[row], other)
            for other in names
            if other != name
            for row in np.flatnonzero(
                (examples @ classifier.examples(other).T > 1 - _SAME).any(axis=1)
            )
        ]
        found.append(
            ClassAudit(
                name,
                len(examples),
                float(1 - bad.mean()),
                float(margins.mean()),
                names[int(confused.argmax())] if bad.any() else None,
                [(sources[row], names[rival[row]]) for row in np.flatnonzero(bad)],
                shared,
                _another_helps(
                    examples[different], rivals[different], float(margins[different].mean())
                ),
            )
        )
    return found


def _another_helps(
    examples: NDArray[np.float64], rivals: NDArray[np.float64], margin: float
) -> bool:
    """Whether the margin still grows with the number of examples."""
    count = len(examples)
    if count < _FEW:
        return True
    rng = np.random.default_rng(0)
    margins = []
    for _ in range(_DRAWS):
        order = rng.permutation(count)
        half, rest = order[: count // 2], order[count // 2 :]
        mean = examples[half].sum(axis=0)
        cosines = examples[rest] @ mean / max(float(np.linalg.norm(mean)), 1e-12)
        margins.append(float((cosines - rivals[rest]).mean()))
    return bool(margin - np.mean(margins) > _GAIN * max(abs(margin), 1e-3))
