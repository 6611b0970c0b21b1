"""The place where results are kept."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def results_dir(path: Path | str, transfer: str | None = None) -> Path:
    """Return the directory of a model's results: RUN/eval, or NAME.eval beside NAME.tflite.

    Args:
        path: A run directory or a `.tflite`.
        transfer: A source of images other than those the model was trained on, whose results
            have a directory of their own below.
    """
    path = Path(path)
    directory = path / "eval" if path.is_dir() else path.with_suffix(".eval")
    if transfer is None:
        return directory
    return directory / "transfer" / re.sub(r"[^A-Za-z0-9.-]+", "_", transfer).strip("_.")


def read_results(path: Path | str, name: str) -> dict[str, Any] | None:
    """Read a result of a model; None if there is none yet or it is damaged.

    Args:
        path: A run directory or a `.tflite`.
        name: The name of the measure, as in "knn" for knn.json.
    """
    try:
        result = json.loads((results_dir(path) / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None
