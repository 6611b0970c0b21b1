"""The classes that a page begins with: those of `s2bnn-run enroll`, or words of `s2bnn words`."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import ModelError
from s2bnn_tf.export.c_source.classes import open_classes

if TYPE_CHECKING:
    from s2bnn_runtime import PrototypeClassifier

NO_CLASSES: dict[str, Any] = {"key": "", "classes": [], "numbers": "", "shift": 0, "threshold": -1}


def read_page_classes(path: str | Path, model: str | Path) -> dict[str, Any]:
    """Read a file of classes as what the page's `readFile` takes.

    Args:
        path: The .npz.
        model: The `.tflite` whose vectors they are compared with.

    Returns:
        "key", the SHA-256 of the file, by which a browser keeps what is added; "classes", each
        with "name", "count", "word" and how many "examples" follow; "numbers", the vectors of
        classes, then those of their examples, then the shift, little-endian float32 in base64;
        "shift", 1 if it is known how pictures are moved to where words are, else 0; "threshold",
        -1 if examples choose one for each class.

    Raises:
        DeviceError: If the runtime is not installed, or the file cannot be read.
        ModelError: If there are no classes, or they are of another network, or one has several
            prototypes.
    """
    classifier, sums = open_classes(path, model)
    several = [name for name, found in sums.items() if len(found) > 1]
    if several:
        raise ModelError(
            f"{several[0]!r} in {path} has several prototypes, and a page has one for each class: "
            "`s2bnn-run enroll --prototypes 1` makes them one again."
        )
    shift = _shift(classifier)
    examples = {name: classifier.examples(name) for name in sums}
    shifts = [] if shift is None else [shift[np.newaxis]]
    numbers = [*sums.values(), *examples.values(), *shifts]
    return {
        "key": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "classes": [
            {
                "name": name,
                "count": classifier.counts[name],
                "word": name in classifier._words,
                "examples": len(found),
            }
            for name, found in examples.items()
        ],
        "numbers": base64.b64encode(np.concatenate(numbers).astype("<f4").tobytes()).decode(),
        "shift": int(shift is not None),
        "threshold": classifier.threshold,
    }


def as_script(classes: dict[str, Any]) -> str:
    """The file of the page that holds them."""
    return f"'use strict';\n\nconst BEGUN = {json.dumps(classes)};\n"


def _shift(classifier: PrototypeClassifier) -> NDArray[np.float64] | None:
    """From where pictures are to where words are."""
    words = classifier.words
    if words is None or words.pictures is None:
        return None
    shift: NDArray[np.float64] = words.mean - words.pictures
    return shift
