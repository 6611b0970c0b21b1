"""What the kernels of TensorFlow Lite take on trust about a node, found by fuzzing.

`runtime/src/host/operators.cc` checks the same.
"""

from __future__ import annotations

from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.tflite.flatbuffer import FlatbufferError

_LARGEST_WINDOW = 65535
_WINDOW = {
    "stride": ("strideH", "strideW"),
    "filter size": ("filterHeight", "filterWidth"),
    "dilation": ("dilationHFactor", "dilationWFactor"),
}
_WITH_WINDOWS = {
    "Conv2DOptionsT",
    "DepthwiseConv2DOptionsT",
    "Pool2DOptionsT",
    "TransposeConvOptionsT",
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


def check_operator(name: str, operator: schema.OperatorT, types: list[int]) -> None:
    """Check a node of a builtin operator on which TensorFlow's own kernels could crash.

    Args:
        name: The name of its operator.
        operator: The node. Its tensor indices must be in range.
        types: The types of all tensors, as the file has them.

    Raises:
        FlatbufferError: If an input is absent that the operator needs, if a stride, dilation or
            filter size is outside of [1, 65535], or if an operator changes the type of its first
            input that cannot.
    """
    inputs = [] if operator.inputs is None else [int(index) for index in operator.inputs]
    outputs = [] if operator.outputs is None else [int(index) for index in operator.outputs]
    if -1 in inputs and name not in _MAY_LACK_INPUTS:
        raise FlatbufferError(f"a node {name} lacks input {inputs.index(-1)}")
    if name in _KEEP_TYPE and any(types[index] != types[inputs[0]] for index in outputs if inputs):
        raise FlatbufferError(f"a node {name} changes the type of its input")
    if type(operator.builtinOptions).__name__ not in _WITH_WINDOWS:
        return
    for what, fields in _WINDOW.items():
        for field in fields:
            value = getattr(operator.builtinOptions, field, 1)
            if not 1 <= value <= _LARGEST_WINDOW:
                raise FlatbufferError(f"a node {name} has a {what} of {value}")
