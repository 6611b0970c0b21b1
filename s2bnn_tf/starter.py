"""The encoder that ships with the runtime's package, under the name `starter`."""

from __future__ import annotations

import importlib.util
import os
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.files import replaced, sha256

STARTER = "starter"
_FILE = "starter.tflite"


def is_starter(model: str | Path) -> bool:
    """Whether a model's name means the starter; a path of that name comes first."""
    return os.fspath(model) == STARTER and not Path(model).exists()


def find_package() -> ModuleSpec | None:
    """Where the runtime's package is, which is not imported; None if it is not installed."""
    return importlib.util.find_spec("s2bnn_runtime")


def copy_starter(directory: Path) -> Path:
    """Copy the starter and its card, so that results can be written beside them.

    Args:
        directory: Where to, which is made if it is missing. A copy that is there is kept.

    Returns:
        The `.tflite`.

    Raises:
        CheckpointError: If the runtime's package is not installed, or it cannot be copied.
    """
    spec = find_package()
    places = list(spec.submodule_search_locations or []) if spec else []
    shipped = Path(places[0], _FILE) if places else Path(_FILE)
    if not shipped.is_file():
        raise CheckpointError(
            "The starter ships with s2bnn_runtime, which is not installed here, or was built "
            "without it; install it, or name another model."
        )
    copy = directory / _FILE
    if copy.is_file() and sha256(copy) == sha256(shipped):
        return copy
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for source in (shipped.with_suffix(".json"), shipped):  # the network when all is there
            with replaced(directory / source.name) as (part,):
                shutil.copyfile(source, part)
    except OSError as error:
        raise CheckpointError(
            f"Cannot write to {directory}: {error.strerror}; set S2BNN_CACHE to another folder."
        ) from error
    return copy
