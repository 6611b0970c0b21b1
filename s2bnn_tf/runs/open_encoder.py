"""The one way to open a model for evaluation: a run directory or a `.tflite`."""

from __future__ import annotations

from pathlib import Path

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.runs.run_directory import LoadedEncoder
from s2bnn_tf.tflite import TFLiteEncoder


def open_encoder(path: str | Path, runtime: str | None = None) -> LoadedEncoder | TFLiteEncoder:
    """Open the output of `s2bnn train` or `s2bnn convert`; both are evaluated by the same code.

    Args:
        path: A run directory or a `.tflite`.
        runtime: The runtime for a `.tflite`, see `choose_runtime`. A run directory ignores it,
            since Keras runs it.

    Raises:
        CheckpointError: If the path does not exist, or is no run directory, or the run has no
            weights that fit.
        ModelError: If the file is not a `.tflite` of an encoder, or is damaged.
        DeviceError: If the runtime is not installed.
    """
    path = Path(path)
    if path.is_dir():
        return LoadedEncoder.open(path)
    if path.is_file():
        return TFLiteEncoder(path, runtime)
    raise CheckpointError(f"{path} does not exist; name a run directory or a .tflite file.")
