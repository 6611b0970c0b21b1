"""The steps of Larq Compute Engine's operations."""

from __future__ import annotations

import numpy as np

from s2bnn_tf.export.c_source.builder import Axis, Builder
from s2bnn_tf.export.c_source.constants import pack_blocks
from s2bnn_tf.export.c_source.network import Node
from s2bnn_tf.export.c_source.steps import Call, Step

_STRUCT_BYTES = 12 * 4 + 7 * 4 + 4 * 4
# The limits of fused activations by LCE's numbers; sums are whole.
_LIMITS = {1: (0, None), 2: (-1, 1), 3: (0, 6)}


def quantize(builder: Builder, node: Node) -> Step:
    """Floats to bits; the reverse is `dequantize`."""
    source = builder.value(node, 0)
    if source.dtype != np.float32:
        raise builder.refusal(node, f"from {source.dtype}")
    size = f"{source.columns}, {source.depth}"
    return _convert(node, source.rows, "s2bnn_quantize", size)


def dequantize(builder: Builder, node: Node) -> Step:
    """Bits to -1 and +1."""
    output = builder.network.values[node.output]
    if output.dtype != np.float32:
        raise builder.refusal(node, f"to {output.dtype}")
    size = f"{output.columns}, {output.depth}"
    return _convert(node, output.rows, "s2bnn_dequantize", size)


def _convert(node: Node, rows: int, kernel: str, size: str) -> Step:
    index = node.inputs[0]
    return Step(
        node.name,
        (),
        (index,),
        node.output,
        rows,
        lambda call: [f"{kernel}({call.values[index]}, {size}, {call.output});"],
    )


def pool(builder: Builder, node: Node) -> Step:
    """The maximum of signs."""
    options = node.options
    window = builder.window(
        node,
        Axis(options["filter_height"], options["stride_height"]),
        Axis(options["filter_width"], options["stride_width"]),
        same=options["padding"] == 0,
    )
    address = builder.add_struct("s2bnn_window", [window[1:-1]], 12 * 4)
    index = node.inputs[0]
    return Step(
        node.name,
        (index,),
        (),
        node.output,
        builder.network.values[node.output].rows,
        lambda call: [
            f"s2bnn_bits_pool_row({address}, {call.values[index]}, {call.row}, {call.output});"
        ],
        flash=12 * 4,
    )


def convolution(builder: Builder, node: Node) -> Step:
    """A binary convolution, to floats or to bits."""
    before = builder.constants.size
    source, output = builder.value(node, 0), builder.network.values[node.output]
    if output.dtype not in (np.float32, np.int32):
        raise builder.refusal(node, f"to {output.dtype}")
    filters = builder.constant(node, 1).view(np.uint32)
    channels, rows, columns, words = filters.shape
    options = node.options
    if source.depth % words or channels % (source.depth // words):
        raise builder.refusal(node, f"with {source.depth} words and filters of {words}")
    groups = source.depth // words
    group_channels = options["channels_in"] // groups
    zero = options["padding"] == 0 and options["pad_values"] == 0
    window = builder.window(
        node,
        Axis(rows, options["stride_height"], options["dilation_height_factor"]),
        Axis(columns, options["stride_width"], options["dilation_width_factor"]),
        same=options["padding"] == 0,
    )
    products = rows * columns * group_channels
    zero = zero and rows * columns > 1
    packed = [pack_blocks(part.reshape(len(part), -1)) for part in np.split(filters, groups)]
    fields = [
        window,
        *map(str, (channels, groups, group_channels, int(zero))),
        *map(str, _sum_limits(options["fused_activation_function"], products)),
        builder.add("filter", np.concatenate(packed)),
        *_scaling(builder, node, products, output.dtype == np.int32),
    ]
    address = builder.add_struct("s2bnn_bconv", fields, _STRUCT_BYTES)
    scratch = {}
    if rows * columns * groups > 1:
        scratch["patches"] = 4 * output.columns * rows * columns * words
    if zero:
        scratch["taps"] = 4 * rows * columns * channels
    kernel = "s2bnn_bconv_bits_row" if output.dtype == np.int32 else "s2bnn_bconv_row"
    index = node.inputs[0]

    def write(call: Call) -> list[str]:
        memory = f"{call.scratch.get('patches', 'NULL')}, {call.scratch.get('taps', 'NULL')}"
        arguments = f"{address}, {call.values[index]}, {call.row}, {memory}, {call.output}"
        return [f"{kernel}({arguments});"]

    def begin(call: Call) -> list[str]:
        return [f"s2bnn_bconv_taps({address}, {call.scratch['taps']});"]

    return Step(
        node.name,
        (index,),
        (),
        node.output,
        output.rows,
        write,
        scratch=scratch,
        begin=begin if zero else None,
        flash=builder.constants.size - before,
        binary_macs=output.rows * output.columns * channels * products,
    )


def _sum_limits(activation: int, products: int) -> tuple[int, int, int]:
    """Whether there are limits, and those of twice the number of products that are -1."""
    if activation not in _LIMITS:
        return 0, 0, 0
    low, high = _LIMITS[activation]
    largest = products if high is None else min(high, products)
    return 1, products - largest, products - max(low, -products)


def _scaling(builder: Builder, node: Node, products: int, to_bits: bool) -> list[str]:
    """The multiplier, bias and thresholds; the number of products goes into the bias.

    As in Larq Compute Engine, the bias is added in double and then rounded once.
    """
    if to_bits:
        thresholds = builder.constant(node, 4)
        return ["NULL", "NULL", builder.add("thresholds", thresholds)]
    scale, shift = builder.constant(node, 2), builder.constant(node, 3)
    bias = shift.astype(np.float64) + products * scale.astype(np.float64)
    return [
        builder.add("multiplier", -scale),
        builder.add("bias", bias.astype(np.float32)),
        "NULL",
    ]
