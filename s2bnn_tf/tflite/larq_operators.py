"""What Larq Compute Engine's kernels take on trust about their nodes, found by fuzzing.

`s2bnn_runtime` checks the same, and more, in its own kernels (`runtime/src/graph/op.cc`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from s2bnn_tf.tflite.flatbuffer import FlatbufferError
from s2bnn_tf.tflite.parts import Operation, Tensor

BINARY_CONVOLUTION = "LceBconv2d"
BINARY_POOLING = "LceBMaxPool2d"

_SIZE = (1, 65535)
_OPTIONS = {
    BINARY_CONVOLUTION: {
        "channels_in": (1, 1 << 24),
        "stride_height": _SIZE,
        "stride_width": _SIZE,
        "dilation_height_factor": _SIZE,
        "dilation_width_factor": _SIZE,
        "padding": (0, 1),
        "pad_values": (0, 1),
        "fused_activation_function": (0, 3),
    },
    BINARY_POOLING: {
        "filter_height": _SIZE,
        "filter_width": _SIZE,
        "stride_height": _SIZE,
        "stride_width": _SIZE,
        "padding": (0, 1),
    },
}
_INPUTS = {BINARY_CONVOLUTION: 5, BINARY_POOLING: 1, "LceQuantize": 1, "LceDequantize": 1}
_FILTER, _MULTIPLIER, _BIAS, _THRESHOLDS = 1, 2, 3, 4


def check_larq_operator(node: Operation, tensors: Sequence[Tensor]) -> None:
    """Check a node of Larq Compute Engine; nodes of other custom operators pass.

    Args:
        node: The node. Its tensor indices must be in range.
        tensors: The tensors of the graph.

    Raises:
        FlatbufferError: If it lacks an input, an output or an option, if an option is outside of
            its range, or if the constants of a binary convolution have another type or size than
            its kernels read.
    """
    if node.name not in _INPUTS:
        return
    if len(node.inputs) != _INPUTS[node.name] or node.inputs[0] < 0 or len(node.outputs) != 1:
        raise FlatbufferError(f"a node {node.name} lacks an input or an output")
    for option, (low, high) in _OPTIONS.get(node.name, {}).items():
        value = node.options.get(option)
        if value is None:
            raise FlatbufferError(f"a node {node.name} lacks the option {option}")
        if not low <= value <= high:
            raise FlatbufferError(f"a node {node.name} has {option} = {value}")
    if node.name == BINARY_CONVOLUTION:
        _check_constants(node, tensors)


def _check_constants(node: Operation, tensors: Sequence[Tensor]) -> None:
    writes_bits = tensors[node.outputs[0]].dtype == np.int32
    needed: dict[int, type[np.generic]] = {_FILTER: np.int32}
    if writes_bits:
        needed[_THRESHOLDS] = np.int32
    else:
        needed |= {_MULTIPLIER: np.float32, _BIAS: np.float32}
    for place, dtype in needed.items():
        index = node.inputs[place]
        if index < 0 or not tensors[index].has_content or tensors[index].dtype != dtype:
            raise FlatbufferError(
                f"a node {node.name} has no constant {np.dtype(dtype)} as its input {place}"
            )
    kernel = tensors[node.inputs[_FILTER]].shape
    if len(kernel) != 4 or 0 in kernel:
        raise FlatbufferError(f"a node {node.name} has a filter of the shape {kernel}")
    for place in needed.keys() - {_FILTER}:
        shape = tensors[node.inputs[place]].shape
        if shape != (kernel[0],):
            raise FlatbufferError(
                f"a node {node.name} has {kernel[0]} channels and an input {place} of {shape}"
            )
