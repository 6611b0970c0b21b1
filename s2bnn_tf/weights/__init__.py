"""Checkpoints in and out: run directories, teachers, and `.tflite` files opened as encoders."""

from s2bnn_tf.weights.checkpoint_store import CheckpointStore
from s2bnn_tf.weights.checkpoints import (
    LoadedEncoder,
    RunDirectory,
    build_encoder,
    leave_untrained,
    load_encoder,
    save_encoder,
)
from s2bnn_tf.weights.linear_probe import LinearProbe
from s2bnn_tf.weights.open_encoder import open_encoder
from s2bnn_tf.weights.restore import restore_run
from s2bnn_tf.weights.teachers import load_teacher
from s2bnn_tf.weights.tflite_model import TFLiteEncoder
from s2bnn_tf.weights.torch_import import import_torch

__all__ = [
    "CheckpointStore",
    "LinearProbe",
    "LoadedEncoder",
    "RunDirectory",
    "TFLiteEncoder",
    "build_encoder",
    "import_torch",
    "leave_untrained",
    "load_encoder",
    "load_teacher",
    "open_encoder",
    "restore_run",
    "save_encoder",
]
