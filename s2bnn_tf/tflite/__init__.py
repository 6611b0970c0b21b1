"""A `.tflite` file: reading and checking its graph, and opening it as an encoder."""

from s2bnn_tf.environment import require_keras_2

require_keras_2()

from s2bnn_tf.tflite.encoder import OUTPUT_NAMES, TFLiteEncoder, read_card, read_graph  # noqa: E402
from s2bnn_tf.tflite.flatbuffer import FlatbufferError  # noqa: E402
from s2bnn_tf.tflite.graph import (  # noqa: E402
    TFLiteGraph,
    filter_exceeds_input,
    unpack_signs,
    with_outputs,
)
from s2bnn_tf.tflite.interpreter import RUNTIMES, choose_runtime, kernel_options  # noqa: E402
from s2bnn_tf.tflite.larq_operators import BINARY_CONVOLUTION  # noqa: E402
from s2bnn_tf.tflite.parts import Operation  # noqa: E402

__all__ = [
    "BINARY_CONVOLUTION",
    "OUTPUT_NAMES",
    "RUNTIMES",
    "FlatbufferError",
    "Operation",
    "TFLiteEncoder",
    "TFLiteGraph",
    "choose_runtime",
    "filter_exceeds_input",
    "kernel_options",
    "read_card",
    "read_graph",
    "unpack_signs",
    "with_outputs",
]
