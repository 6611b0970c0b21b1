"""Where numbers are kept, and how they get there whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path


def results_dir(path: Path | str, transfer: str | None = None) -> Path:
    """Name the directory of a model's results: RUN/eval, or NAME.eval beside NAME.tflite.

    Args:
        path: a run directory or a `.tflite`.
        transfer: a source of images other than the model's own; its results have a
            directory of their own below.
    """
    path = Path(path)
    directory = path / "eval" if path.is_dir() else path.with_suffix(".eval")
    if transfer is None:
        return directory
    return directory / "transfer" / re.sub(r"[^A-Za-z0-9.-]+", "_", transfer).strip("_.")


def read_results(path: Path | str, name: str) -> dict | None:
    """Read a model's `name`.json ("knn", "linear"); None if there is none yet or it is broken."""
    try:
        result = json.loads((results_dir(path) / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None


def write_json(path: Path, content: dict) -> None:
    """Write an object as indented JSON, atomically."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    replace_file(path, lambda file: file.write_text(text, encoding="utf-8"))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then put it in the place of `path` in one step.

    Args:
        path: the file to be written; missing parents are made.
        write: called with a path of the same suffix in the same directory. If
            it raises, the old file stays as it was and nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=path.suffix, prefix=f".{path.stem}-", dir=path.parent)
    os.close(handle)
    try:
        write(Path(name))
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes it private
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
