"""What the verbs of `s2bnn-run` print, and what their parsers have in common."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2bnn_runtime.errors import PictureError
from s2bnn_runtime.starter import read_model


@dataclass(frozen=True)
class Row:
    """One line of output.

    Attributes:
        record: The object that `--json` prints on a line of its own, or None for text alone. With
            a key "error" it is about a picture that could not be read.
        text: The text without `--json`; empty for no line.
    """

    record: dict[str, Any] | None
    text: str

    @classmethod
    def of_error(cls, path: Path, error: PictureError) -> Row:
        """The row of a picture that cannot be read, whose sentence goes to standard error."""
        return cls({"path": str(path), "error": str(error)}, "")


Rows = Iterator[Row]

_ABOUT = {
    "model": "an encoder's .tflite, or starter for the one that is shipped",
    "classes": "the .npz that holds the classes",
    "normal": "the .npz that holds what is normal",
}


def add_arguments(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add arguments that several verbs have: "images", or a file by its kind."""
    for name in names:
        if name == "images":
            parser.add_argument("images", type=Path, nargs="+", help="pictures, or folders of them")
        else:
            read = read_model if name == "model" else Path
            parser.add_argument(name, type=read, help=_ABOUT[name])


def read_share(text: str) -> float:
    """Read a share above 0 and below 1 from the command line."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"a share above 0 and below 1 is needed, not {text!r}")
    return share


def read_count(text: str) -> int:
    """Read a whole number of at least 1 from the command line."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is needed, not {text!r}")
    return int(text)


class Clock:
    """Measures what each picture cost."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def lap(self) -> float:
        """The milliseconds since the last call, or since the clock was made."""
        now = time.perf_counter()
        spent, self._start = 1e3 * (now - self._start), now
        return round(spent, 3)
