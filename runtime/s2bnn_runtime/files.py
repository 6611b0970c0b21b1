"""Files that a user names on the command line, and what to say where they are wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from s2bnn_runtime.interpreter import Interpreter

OPERATING_SYSTEM = {
    FileNotFoundError: "does not exist; check its path",
    IsADirectoryError: "is a folder, not a file",
    NotADirectoryError: "does not exist; check its path",
    PermissionError: "is not allowed to be opened; check its permissions",
}


def open_model(path: Path, threads: int = 1, **options: Any) -> Interpreter:
    """An `Interpreter` of a file.

    Raises:
        OSError, ValueError: if it cannot be run; the message names the file and says why.
    """
    try:
        return Interpreter(path, threads, **options)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be run: {_refusal(error)}") from error


def read_labels(path: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        OSError, ValueError: if it is none.
    """
    try:
        return path.read_text("utf-8").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file; labels are UTF-8, one class a line") from error


def sentence(error: Exception) -> str:
    """What is wrong, on one line."""
    if isinstance(error, OSError) and error.filename is not None and type(error) in OPERATING_SYSTEM:
        return f"{error.filename} {OPERATING_SYSTEM[type(error)]}"
    if isinstance(error, KeyError):
        return str(error.args[0])  # str(error) would put it into quotes
    return " ".join(str(error).split())


def _refusal(error: Exception) -> str:
    """Why a host does not run a model: the delegate's own words if there are any, without what the host says before and after."""
    own = re.search(r"s2bnn_runtime: (.*?)(Encountered unresolved|Node number|Failed to apply|\n|$)", str(error))
    return own[1] if own else sentence(error)
