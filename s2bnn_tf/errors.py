"""The one exception that means "you can fix this", and the words for another's cause."""

from __future__ import annotations

import re


class UserError(ValueError):
    """A mistake of the user's, told in one sentence that says what to do.

    The command line prints the sentence and exits with status 1; any other
    exception is a fault of the program and keeps its traceback.
    """


def file_reason(error: Exception) -> str:
    """Why a file could not be written, in the operating system's words.

    >>> file_reason(OSError(28, "No space left on device"))
    'No space left on device'

    Args:
        error: An OSError, or TensorFlow's, whose text has names of its own around these words.
    """
    if getattr(error, "strerror", None):
        return str(error.strerror)  # type: ignore[attr-defined]
    line = str(error).strip().splitlines()[0]
    return re.sub(r" \[Op:\w+\]$", "", line.rsplit("; ", 1)[-1])
