"""The encoder that ships with this package, under the name `starter`."""

from __future__ import annotations

from pathlib import Path

STARTER = "starter"


def starter_path() -> Path:
    """Where the starter's `.tflite` lies, with its card beside it."""
    return Path(__file__).with_name("starter.tflite")


def is_missing(model: Path) -> bool:
    """Whether a model is the starter, of a build without it."""
    return model == starter_path() and not model.exists()


def read_model(text: str) -> Path:
    """Read a model from the command line: a path, or the starter's name.

    A file of that name comes first.
    """
    path = Path(text)
    return starter_path() if text == STARTER and not path.exists() else path
