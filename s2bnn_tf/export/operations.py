"""Count the multiply-adds of a network, 1-bit and float, and the bytes of its weights."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.tflite import BINARY_CONVOLUTION, Operation, TFLiteGraph


def count_operations(encoder: Encoder) -> dict[str, int]:
    """Count the multiply-adds and the weights of a backbone, by Larq's model profile.

    Args:
        encoder: The encoder whose backbone is counted, which is what is deployed by default.

    Returns:
        `binary_macs`: the multiply-adds of one bit by one bit, for one image; `float_macs`: all
        others; `size_bytes`: the size of the weights, at 1 bit each where they are binary and
        at 32 otherwise.
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


def operation_table(graph: TFLiteGraph) -> list[dict[str, Any]]:
    """List the operations of a `.tflite` by name.

    Returns:
        For each name: `name`, `count`, `output_shapes` (each once, in order), `binary_macs`
        and `float_macs` for one image. The names with the most multiply-adds come first.
    """
    by_name = defaultdict(list)
    for operation in graph.operations:
        by_name[operation.name].append(operation)
    table: list[dict[str, Any]] = []
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
    """The multiply-adds of one operation: its outputs times the products that each sums."""
    if len(operation.inputs) < 2:
        return 0
    kernel = graph.tensors[operation.inputs[1]].shape
    products = _products_per_output(operation, kernel)
    return products * math.prod(graph.tensors[operation.outputs[0]].shape)


def _products_per_output(operation: Operation, kernel: tuple[int, ...]) -> int:
    """How many products one output is the sum of, from the shape of the filter."""
    if operation.name == BINARY_CONVOLUTION:
        channels: int = operation.options["channels_in"]
        groups = math.ceil(channels / 32) // kernel[3]  # the filter's last axis is 32-bit words
        return kernel[1] * kernel[2] * channels // groups
    if operation.name == "CONV_2D":
        return math.prod(kernel[1:])
    if operation.name == "DEPTHWISE_CONV_2D":
        return kernel[1] * kernel[2]
    if operation.name == "FULLY_CONNECTED":
        return kernel[1]
    return 0
