"""A run directory and its contents: recipe, checkpoints, weights and linear probes."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.runs.augmentation import build_augmentation
from s2bnn_tf.runs.checkpoints import CheckpointStore
from s2bnn_tf.runs.from_tflite import backbone_of_tflite, copy_tflite
from s2bnn_tf.runs.init_from import restore_run
from s2bnn_tf.runs.keras_backbone import (
    identity_of,
    is_keras_file,
    options_of,
    with_input_shape,
)
from s2bnn_tf.runs.keras_files import read_keras_file
from s2bnn_tf.runs.linear_probe import LinearProbe
from s2bnn_tf.runs.open_encoder import open_encoder
from s2bnn_tf.runs.origin import read_origin, write_origin
from s2bnn_tf.runs.run_directory import (
    LoadedEncoder,
    RunDirectory,
    build_encoder,
    leave_untrained,
    load_encoder,
    locate_run,
    plugins_of,
    save_encoder,
)
from s2bnn_tf.runs.statistics import settle_statistics
from s2bnn_tf.runs.weights_files import count_weights
from s2bnn_tf.runs.zoo_weights import import_zoo

__all__ = [
    "CheckpointStore",
    "LinearProbe",
    "LoadedEncoder",
    "RunDirectory",
    "backbone_of_tflite",
    "build_augmentation",
    "build_encoder",
    "copy_tflite",
    "count_weights",
    "identity_of",
    "import_zoo",
    "is_keras_file",
    "leave_untrained",
    "load_encoder",
    "locate_run",
    "open_encoder",
    "options_of",
    "plugins_of",
    "read_keras_file",
    "read_origin",
    "restore_run",
    "save_encoder",
    "settle_statistics",
    "with_input_shape",
    "write_origin",
]
