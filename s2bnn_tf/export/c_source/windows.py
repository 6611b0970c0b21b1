"""The steps of float operations with a window: convolutions, poolings, dense layers, padding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.export.c_source.builder import Axis, Builder, limit_fields
from s2bnn_tf.export.c_source.constants import float_literal, pack_blocks
from s2bnn_tf.export.c_source.network import Node
from s2bnn_tf.export.c_source.steps import Call, Step, Write

_SAME = 0
_WINDOW_BYTES = 12 * 4
_CONV_BYTES = 12 * 4 + 6 * 4


def convolution(builder: Builder, node: Node) -> Step:
    """A convolution, in groups or not."""
    source, filters = builder.value(node, 0), builder.constant(node, 1)
    if filters.dtype != np.float32:
        raise builder.refusal(node, f"with filters of {filters.dtype}")
    groups = source.depth // filters.shape[3]
    if groups * filters.shape[3] != source.depth or len(filters) % groups:
        raise builder.refusal(node, f"with filters of the shape {filters.shape}")
    return _convolution(builder, node, filters, groups)


def depthwise(builder: Builder, node: Node) -> Step:
    """A depthwise convolution; with several outputs for each channel it is one in groups."""
    source, filters = builder.value(node, 0), builder.constant(node, 1)
    if filters.dtype != np.float32:
        raise builder.refusal(node, f"with filters of {filters.dtype}")
    _, rows, columns, channels = filters.shape
    if channels != source.depth:
        return _convolution(builder, node, filters.transpose(3, 1, 2, 0), source.depth)
    before = builder.constants.size
    fields = [
        _window(builder, node, rows, columns),
        *limit_fields(builder.limits(node)),
        builder.add("filter", filters),
        builder.bias(node, channels),
    ]
    address = builder.add_struct("s2bnn_depthwise", fields, _CONV_BYTES - 8)
    output = builder.network.values[node.output]
    macs = output.rows * output.columns * channels * rows * columns
    return _step(builder, node, "s2bnn_depthwise_row", address, before, macs)


def _convolution(builder: Builder, node: Node, filters: NDArray[np.float32], groups: int) -> Step:
    before = builder.constants.size
    channels, rows, columns, depth = filters.shape
    packed = [pack_blocks(part.reshape(len(part), -1)) for part in np.split(filters, groups)]
    fields = [
        _window(builder, node, rows, columns),
        *map(str, (channels, groups)),
        *limit_fields(builder.limits(node)),
        builder.add("filter", np.concatenate(packed)),
        builder.bias(node, channels),
    ]
    address = builder.add_struct("s2bnn_conv", fields, _CONV_BYTES)
    output = builder.network.values[node.output]
    products = rows * columns * depth
    patches = 4 * output.columns * products if rows * columns * groups > 1 else 0
    macs = output.rows * output.columns * channels * products
    return _step(builder, node, "s2bnn_conv_row", address, before, macs, patches=patches)


def _window(builder: Builder, node: Node, rows: int, columns: int) -> str:
    options = node.options
    return builder.window(
        node,
        Axis(rows, options["stride_h"], options.get("dilation_h", 1)),
        Axis(columns, options["stride_w"], options.get("dilation_w", 1)),
        same=options["padding"] == _SAME,
    )


def _step(
    builder: Builder,
    node: Node,
    kernel: str,
    address: str,
    before: int,
    macs: int = 0,
    *,
    patches: int | None = None,
    low_high: tuple[float, float] = (-np.inf, np.inf),
) -> Step:
    index, output = node.inputs[0], builder.network.values[node.output]
    limits = ", ".join(limit_fields(low_high))

    def write(call: Call) -> list[str]:
        memory = "" if patches is None else f"{call.scratch.get('patches', 'NULL')}, "
        source = call.values[index]
        lines = [f"{kernel}({address}, {source}, {call.row}, {memory}{call.output});"]
        if low_high != (-np.inf, np.inf):
            size = output.columns * output.depth
            lines.append(f"s2bnn_clamp({call.output}, {limits}, {size});")
        return lines

    return Step(
        node.name,
        (index,),
        (),
        node.output,
        output.rows,
        write,
        scratch={"patches": patches} if patches else {},
        flash=builder.constants.size - before,
        float_macs=macs,
    )


def pool(builder: Builder, node: Node) -> Step:
    """The maximum or the mean of each window."""
    before = builder.constants.size
    options = node.options
    window = _window(builder, node, options["filter_height"], options["filter_width"])
    address = builder.add_struct("s2bnn_window", [window[1:-1]], _WINDOW_BYTES)
    kind = "max" if node.name == "MAX_POOL_2D" else "average"
    kernel = f"s2bnn_{kind}_pool_row"
    return _step(builder, node, kernel, address, before, low_high=builder.limits(node))


def pad(builder: Builder, node: Node) -> Step:
    """Borders of zeros, or of another number, around a map."""
    source, output = builder.value(node, 0), builder.network.values[node.output]
    borders = builder.constant(node, 1)
    fill = float(builder.constant(node, 2).reshape(-1)[0]) if node.name == "PADV2" else 0.0
    if borders.shape != (4, 2) or borders[[0, 3]].any() or borders.min() < 0:
        raise builder.refusal(node, "around batches or channels")
    (top, _), (left, _) = borders[1:3].tolist()
    size, first = source.columns * source.depth, left * source.depth
    all_size = output.columns * output.depth
    index = node.inputs[0]

    def write(call: Call) -> list[str]:
        at = f"{call.row} - {top}"
        lines = [f"s2bnn_fill({call.output}, {float_literal(fill)}, {all_size});"]
        return [
            *lines,
            f"if ({at} >= 0 && {at} < {source.rows}) {{",
            f"  memcpy({call.output} + {first}, {call.values[index]} + ({at}) * {size}, "
            f"{4 * size}U);",
            "}",
        ]

    return Step(node.name, (index,), (), node.output, output.rows, write)


def reverse(builder: Builder, node: Node) -> Step:
    """A map turned around along its height, its width, or both."""
    source = builder.value(node, 0)
    axes = {int(axis) % 4 for axis in builder.constant(node, 1).reshape(-1)}
    if len(source.shape) != 4 or not axes <= {1, 2}:
        raise builder.refusal(node, "along other axes than height and width")
    size = source.columns * source.depth
    index = node.inputs[0]

    def write(call: Call) -> list[str]:
        row = f"({source.rows - 1} - {call.row})" if 1 in axes else call.row
        x = f"{call.values[index]} + {row} * {size}"
        if 2 not in axes:
            return [f"memcpy({call.output}, {x}, {4 * size}U);"]
        return [f"s2bnn_reverse_pixels({x}, {source.columns}, {source.depth}, {call.output});"]

    return Step(node.name, (index,), (), node.output, source.rows, write)


def mean(builder: Builder, node: Node) -> Step:
    """The mean over all pixels."""
    source = builder.value(node, 0)
    axes = {int(axis) % 4 for axis in builder.constant(node, 1).reshape(-1)}
    if len(source.shape) != 4 or axes != {1, 2}:
        raise builder.refusal(node, "over other axes than height and width")
    index, pixels = node.inputs[0], source.rows * source.columns
    write: Write = lambda call: [  # noqa: E731
        f"s2bnn_mean({call.values[index]}, {pixels}, {source.depth}, {call.output});"
    ]
    return Step(node.name, (index,), (), node.output, 1, write)


def dense(builder: Builder, node: Node) -> Step:
    """A dense layer, its weights in float32 or in 8 bits with one scale for each output."""
    before = builder.constants.size
    source = builder.value(node, 0)
    weights = builder.network.values[node.inputs[1]]
    size = source.rows * source.columns * source.depth
    if weights.constant is None or weights.shape[1:] != (size,):
        raise builder.refusal(node, f"with weights of the shape {weights.shape}")
    if weights.constant.dtype == np.int8 and weights.scales is None:
        raise builder.refusal(node, "in int8")
    outputs, limits = weights.shape[0], limit_fields(builder.limits(node))
    filters = builder.add("weights", pack_blocks(weights.constant))
    bias = builder.bias(node, outputs)
    index = node.inputs[0]
    if weights.scales is not None:
        scale = builder.add("scale", weights.scales)
        fields = [str(size), str(outputs), *limits, filters, scale, bias]
        address = builder.add_struct("s2bnn_dense8", fields, 7 * 4)
        kernel, memory = "s2bnn_dense8_run", ""
    else:
        window = f"{{1, 1, {size}, 1, 1, 1, 1, 1, 1, 1, 0, 0}}"
        fields = [window, str(outputs), "1", *limits, filters, bias]
        address = builder.add_struct("s2bnn_conv", fields, _CONV_BYTES)
        kernel, memory = "s2bnn_conv_row", "0, NULL, "
    return Step(
        node.name,
        (index,),
        (),
        node.output,
        1,
        lambda call: [f"{kernel}({address}, {call.values[index]}, {memory}{call.output});"],
        flash=builder.constants.size - before,
        float_macs=size * outputs,
    )
