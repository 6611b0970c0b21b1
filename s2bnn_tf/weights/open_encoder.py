"""One way in for evaluation: a run directory or a `.tflite`."""

from __future__ import annotations

from pathlib import Path

from s2bnn_tf.errors import UserError
from s2bnn_tf.weights.checkpoints import LoadedEncoder
from s2bnn_tf.weights.tflite_model import TFLiteEncoder


def open_encoder(path: str | Path) -> LoadedEncoder | TFLiteEncoder:
    """Open what `s2bnn train` or `s2bnn convert` wrote, to be evaluated by the same code.

    Args:
        path: A run directory or a `.tflite`.

    Raises:
        UserError: if it is neither, or damaged.
    """
    path = Path(path)
    if path.is_dir():
        return LoadedEncoder.open(path)
    if path.is_file():
        return TFLiteEncoder(path)
    raise UserError(f"{path} does not exist; name a run directory or a .tflite file.")
