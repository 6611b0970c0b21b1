"""What the kernels of TensorFlow Lite take on trust about a node, found by fuzzing.

`runtime/src/host/operators.cc` checks the same.
"""

from __future__ import annotations

from s2bnn_tf.tflite.flatbuffer import FlatbufferError
from s2bnn_tf.tflite.parts import Operation
from s2bnn_tf.tflite.tables import Table

_LARGEST_WINDOW = 65535
# What the options of an operator with windows tell about them
_STRIDES = {"stride_h": "stride", "stride_w": "stride"}
_SIZES = {"filter_height": "filter size", "filter_width": "filter size"}
_DILATIONS = {"dilation_h": "dilation", "dilation_w": "dilation"}
_WINDOWS = {
    "Conv2DOptions": _STRIDES | _DILATIONS,
    "DepthwiseConv2DOptions": _STRIDES | _DILATIONS,
    "Pool2DOptions": _STRIDES | _SIZES,
    "TransposeConvOptions": _STRIDES,
}
_MAY_LACK_INPUTS = {
    "FULLY_CONNECTED",
    "LSTM",
    "RNN",
    "SVDF",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "TRANSPOSE_CONV",
}
# Their output has the type of their first input; some kernels do not look at it.
_KEEP_TYPE = {
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "LOGISTIC",
    "MAX_POOL_2D",
    "RELU",
    "RELU_N1_TO_1",
    "RELU6",
    "RESHAPE",
    "TANH",
    "PAD",
    "GATHER",
    "TRANSPOSE",
    "MEAN",
    "SQUEEZE",
    "STRIDED_SLICE",
    "PADV2",
    "SLICE",
    "TILE",
    "EXPAND_DIMS",
    "SUM",
    "FAKE_QUANT",
    "REDUCE_PROD",
    "REDUCE_MAX",
    "REDUCE_MIN",
    "MIRROR_PAD",
    "REVERSE_V2",
}


def check_operator(node: Operation, options: Table | None, types: list[int]) -> None:
    """Check a node of a builtin operator on which TensorFlow's own kernels could crash.

    Args:
        node: The node. Its tensor indices must be in range.
        options: Its options.
        types: The types of all tensors, as the file has them.

    Raises:
        FlatbufferError: If an input is absent that the operator needs, if a stride, dilation or
            filter size is outside of [1, 65535], or if an operator changes the type of its first
            input that cannot.
    """
    name, inputs, outputs = node.name, node.inputs, node.outputs
    if -1 in inputs and name not in _MAY_LACK_INPUTS:
        raise FlatbufferError(f"a node {name} lacks input {inputs.index(-1)}")
    if name in _KEEP_TYPE and any(types[index] != types[inputs[0]] for index in outputs if inputs):
        raise FlatbufferError(f"a node {name} changes the type of its input")
    if options is None:
        return
    for field, what in _WINDOWS.get(options.kind, {}).items():
        value = options.number(field)
        if not 1 <= value <= _LARGEST_WINDOW:
            raise FlatbufferError(f"a node {name} has a {what} of {value}")
