"""The published network that a run was imported from or guided by: `origin.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2bnn_tf.files import write_json
from s2bnn_tf.reading import Text, read_json
from s2bnn_tf.runs.run_directory import RunDirectory

_FIELDS = {name: Text() for name in ("name", "license", "source", "training", "sha256")}


def read_origin(run_dir: str | Path) -> dict[str, Any] | None:
    """Read where the weights of a run, or those of its teacher, were published.

    Args:
        run_dir: A run directory.

    Returns:
        The name, license, source, training and sha256 of the published network, or None if there
        is none behind the run.

    Raises:
        CheckpointError: If the file is damaged.
    """
    path = RunDirectory(run_dir).origin_path
    try:
        found = read_json(path, _FIELDS, cure=f"delete {path.parent}, and make it again")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return {name: found[name] for name in _FIELDS}


def write_origin(run: RunDirectory, origin: dict[str, Any] | None) -> None:
    """Write where a run's teacher was published; nothing if it was not."""
    if origin is not None:
        write_json(run.origin_path, origin)
