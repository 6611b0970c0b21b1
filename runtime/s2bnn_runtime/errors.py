"""The exception for mistakes that the user can mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_REASONS = {
    FileNotFoundError: "does not exist; check its path",
    IsADirectoryError: "is a folder, not a file",
    NotADirectoryError: "does not exist; check its path",
    PermissionError: "may not be opened; check its permissions",
}


class S2bnnError(ValueError):
    """A mistake that the user can mend; its message is one sentence that says how.

    `s2bnn-run` prints the sentence and exits with status 1. Any other exception is a fault of the
    program and keeps its traceback.
    """


class PictureError(S2bnnError):
    """A file that is not a readable picture."""


@contextmanager
def file_errors(kind: type[S2bnnError] = S2bnnError) -> Iterator[None]:
    """Turn an OSError of the body into a sentence that names the file.

    Raises:
        S2bnnError: If the body raises an OSError; of the given kind.
    """
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(type(error))
        if reason is not None and error.filename is not None:
            raise kind(f"{error.filename} {reason}") from error
        where = f"{error.filename}: " if error.filename is not None else ""
        raise kind(f"{where}{error.strerror or one_line(error)}") from error


def one_line(error: Exception) -> str:
    """The message of an exception, on one line."""
    return " ".join(str(error).split())
