"""A `.tflite` file: reading and checking its graph, and opening it as an encoder."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.tflite.encoder import OUTPUT_NAMES, TFLiteEncoder, read_card, read_graph
from s2bnn_tf.tflite.flatbuffer import FlatbufferError
from s2bnn_tf.tflite.graph import (
    TFLiteGraph,
    filter_exceeds_input,
    unpack_signs,
    with_outputs,
)
from s2bnn_tf.tflite.interpreter import RUNTIMES, choose_runtime, kernel_options
from s2bnn_tf.tflite.larq_operators import BINARY_CONVOLUTION
from s2bnn_tf.tflite.parts import Operation
from s2bnn_tf.tflite.tables import Table, append_metadata, read_tables, write_tables

__all__ = [
    "BINARY_CONVOLUTION",
    "OUTPUT_NAMES",
    "RUNTIMES",
    "FlatbufferError",
    "Operation",
    "TFLiteEncoder",
    "TFLiteGraph",
    "Table",
    "append_metadata",
    "choose_runtime",
    "filter_exceeds_input",
    "kernel_options",
    "read_card",
    "read_graph",
    "read_tables",
    "unpack_signs",
    "with_outputs",
    "write_tables",
]
