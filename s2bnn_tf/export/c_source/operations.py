"""The operations that C source can be made of, by their names in the file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from s2bnn_tf.export.c_source import binary, elementwise, windows
from s2bnn_tf.export.c_source.builder import Builder
from s2bnn_tf.export.c_source.camera import Camera
from s2bnn_tf.export.c_source.network import Network, Node
from s2bnn_tf.export.c_source.steps import Step
from s2bnn_tf.export.c_source.strip import find_stem, with_frames

_BINARY: dict[str, Callable[[Builder, Node], Step]] = {
    "LceBMaxPool2d": binary.pool,
    "LceBconv2d": binary.convolution,
    "LceDequantize": binary.dequantize,
    "LceQuantize": binary.quantize,
}
_FLOAT: dict[str, Callable[[Builder, Node], Step]] = {
    "ADD": elementwise.arithmetic,
    "AVERAGE_POOL_2D": windows.pool,
    "CONCATENATION": elementwise.concatenate,
    "CONV_2D": windows.convolution,
    "DEPTHWISE_CONV_2D": windows.depthwise,
    "FULLY_CONNECTED": windows.dense,
    "HARD_SWISH": elementwise.activation,
    "L2_NORMALIZATION": elementwise.normalize,
    "LOGISTIC": elementwise.activation,
    "MAX_POOL_2D": windows.pool,
    "MEAN": windows.mean,
    "MUL": elementwise.arithmetic,
    "PAD": windows.pad,
    "PADV2": windows.pad,
    "PRELU": elementwise.prelu,
    "RELU": elementwise.activation,
    "RELU6": elementwise.activation,
    "RELU_N1_TO_1": elementwise.activation,
    "REVERSE_V2": windows.reverse,
    "SOFTMAX": elementwise.normalize,
    "SUB": elementwise.arithmetic,
    "TANH": elementwise.activation,
}


def make_steps(network: Network, camera: Camera | None = None) -> tuple[list[Step], Builder]:
    """Make the steps of a network, and their constants.

    With a camera, the first step reads its frames, which are `pixels` in the C source.

    Raises:
        ModelError: If the network has an operation that C source cannot be made of.
    """
    builder, steps = Builder(network), []
    stem = find_stem(network) if camera is not None else None
    builder.strip = None if stem is None else stem.convolution
    for number, node in enumerate(network.nodes):
        builder.number = number
        make = _BINARY.get(node.name) or _FLOAT.get(node.name)
        if make is None:
            raise builder.refusal(node)
        if node.name in _FLOAT:
            _check_types(builder, node)
        steps.append(make(builder, node))
    if camera is not None:
        steps = with_frames(network, builder, camera, stem, steps)
    made = {step.output for step in steps}
    for index in network.outputs:
        if index not in made:
            raise builder.refusal(network.nodes[-1], "behind an output that nothing computes")
    return steps, builder


def _check_types(builder: Builder, node: Node) -> None:
    for index in (*node.inputs, node.output):
        value = builder.network.values.get(index)
        if value is not None and value.constant is None and value.dtype != np.float32:
            raise builder.refusal(node, f"in {value.dtype or 'another type'}")
