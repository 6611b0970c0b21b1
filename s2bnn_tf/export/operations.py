"""Count what a network computes: multiply-adds, 1-bit and float, and bytes of weights."""

from __future__ import annotations

import math
from collections import defaultdict

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.tflite import BINARY_CONVOLUTION, Operation, TFLiteGraph


def count_operations(encoder: Encoder) -> dict[str, int]:
    """Count the multiply-adds and the weights of a backbone, by Larq's model profile.

    Args:
        encoder: Its backbone is counted: what is deployed by default.

    Returns:
        `binary_macs`: multiply-adds of one bit by one bit, for one image; `float_macs`: all
        others; `size_bytes`: of the weights, 1 bit each where binary and 32 otherwise.
    """
    from larq.models import ModelProfile

    profile = ModelProfile(encoder.backbone)
    binary = profile.op_count("mac", 1)
    return {
        "binary_macs": binary,
        "float_macs": profile.op_count("mac") - binary,
        "size_bytes": math.ceil(profile.memory / 8),
    }


def file_operations(graph: TFLiteGraph) -> dict[str, int]:
    """Count the multiply-adds of a `.tflite` for one image: `binary_macs` and `float_macs`."""
    table = operation_table(graph)
    return {key: sum(row[key] for row in table) for key in ("binary_macs", "float_macs")}


def operation_table(graph: TFLiteGraph) -> list[dict]:
    """List the operations of a `.tflite` by name.

    Returns:
        For each name: `name`, `count`, `output_shapes` (each once, in order), `binary_macs`
        and `float_macs` for one image; those with the most multiply-adds first.
    """
    by_name = defaultdict(list)
    for operation in graph.operations:
        by_name[operation.name].append(operation)
    table = []
    for name, operations in by_name.items():
        shapes = [graph.tensors[index].shape for item in operations for index in item.outputs]
        macs = sum(_macs(graph, item) for item in operations)
        table.append(
            {
                "name": name,
                "count": len(operations),
                "output_shapes": [list(shape) for shape in dict.fromkeys(shapes)],
                "binary_macs": macs if name == BINARY_CONVOLUTION else 0,
                "float_macs": 0 if name == BINARY_CONVOLUTION else macs,
            }
        )
    return sorted(table, key=lambda row: -row["binary_macs"] - row["float_macs"])


def _macs(graph: TFLiteGraph, operation: Operation) -> int:
    """Multiply-adds of one operation: its outputs times what each of them sums."""
    if operation.name not in _SUMMED:
        return 0
    outputs = math.prod(graph.tensors[operation.outputs[0]].shape)
    kernel = graph.tensors[operation.inputs[1]].shape
    return outputs * _SUMMED[operation.name](kernel, operation.options)


def _summed_by_binary_convolution(kernel: tuple[int, ...], options: dict) -> int:
    channels = options["channels_in"]
    groups = math.ceil(channels / 32) // kernel[3]
    return kernel[1] * kernel[2] * channels // groups


# How many products one output is the sum of, from the shape of the filter.
_SUMMED = {
    BINARY_CONVOLUTION: _summed_by_binary_convolution,
    "CONV_2D": lambda kernel, _: math.prod(kernel[1:]),
    "DEPTHWISE_CONV_2D": lambda kernel, _: kernel[1] * kernel[2],
    "FULLY_CONNECTED": lambda kernel, _: kernel[1],
}
