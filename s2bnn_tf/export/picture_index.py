"""The index of pictures that `s2bnn-run search` takes, written by the runtime's own code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from s2bnn_tf.errors import DeviceError
from s2bnn_tf.progress import Progress


def index_pictures(model: Path, files: Sequence[Path], path: Path, *, progress: Progress) -> None:
    """Bring the index of some pictures up to date, as `s2bnn-run index` does.

    Args:
        model: The `.tflite`.
        files: The pictures.
        path: The index, which is made if there is none.
        progress: Called after each picture that is read.

    Raises:
        DeviceError: If the runtime is not installed or cannot run the model, if the index is of
            another model, or if it cannot be written.
    """
    try:
        from s2bnn_runtime import S2bnnError
        from s2bnn_runtime.embedder import Embedder
        from s2bnn_runtime.indexing import changes, open_index, update
    except ImportError as error:
        raise DeviceError(
            f"An index needs s2bnn_runtime ({error}): run `make runtime`, and the same command "
            "again."
        ) from error
    try:
        embedder = Embedder(model)
        index = open_index(path, embedder)
        gone, new = changes(index, files)
        for done, _ in enumerate(update(index, embedder, gone, new, path), 1):
            progress("Indexing", done, len(new))
    except S2bnnError as error:
        raise DeviceError(f"{error}.") from error
