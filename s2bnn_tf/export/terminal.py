"""Capture what C++ libraries write to the terminal, to show it only when it is wanted."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO


class Log:
    """The text that was captured so far."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def read(self) -> str:
        """Return all of the text, without surrounding white space."""
        self._file.seek(0)
        return self._file.read().decode(errors="replace").strip()


@contextlib.contextmanager
def captured_terminal() -> Iterator[Log]:
    """Send standard output and error, at the level of file descriptors, into a log.

    This affects everything in the process: keep the block around a single call.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as file:
        try:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
            yield Log(file)
        finally:
            for descriptor, original in zip((1, 2), saved):
                os.dup2(original, descriptor)
                os.close(original)
