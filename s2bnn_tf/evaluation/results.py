"""Where numbers are kept."""

from __future__ import annotations

import json
import re
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
