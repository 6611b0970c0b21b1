"""One way in for evaluation: a run directory or a `.tflite`."""

from __future__ import annotations

from pathlib import Path

from s2bnn_tf.errors import UserError
from s2bnn_tf.runs.run_directory import LoadedEncoder
from s2bnn_tf.tflite import TFLiteEncoder


def open_encoder(path: str | Path, runtime: str | None = None) -> LoadedEncoder | TFLiteEncoder:
    """Open what `s2bnn train` or `s2bnn convert` wrote, to be evaluated by the same code.

    Args:
        path: A run directory or a `.tflite`.
        runtime: Of a `.tflite`: see `choose_runtime`. Keras runs a run directory.

    Raises:
        UserError: if it is neither, or damaged, or the runtime is not installed.
    """
    path = Path(path)
    if path.is_dir():
        return LoadedEncoder.open(path)
    if path.is_file():
        return TFLiteEncoder(path, runtime)
    raise UserError(f"{path} does not exist; name a run directory or a .tflite file.")
