"""The steps that work number by number, in place, and the concatenation of channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.export.c_source.builder import Builder, limit_fields
from s2bnn_tf.export.c_source.constants import BLOCK
from s2bnn_tf.export.c_source.network import Node, Value
from s2bnn_tf.export.c_source.steps import Call, Step, Write

# The kernel that changes the first operand, and the one that changes the second.
_KERNELS = {
    "ADD": ("s2bnn_add", "s2bnn_add"),
    "SUB": ("s2bnn_subtract", "s2bnn_subtract_from"),
    "MUL": ("s2bnn_multiply", "s2bnn_multiply"),
}
_CLAMPS = {"RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
_FUNCTIONS = {"LOGISTIC": "s2bnn_logistic", "TANH": "s2bnn_tanh", "HARD_SWISH": "s2bnn_hard_swish"}


def arithmetic(builder: Builder, node: Node) -> Step:
    """A sum, difference or product of two maps, or of a map and one number for each channel."""
    values = [builder.network.values[index] for index in node.inputs]
    output = builder.network.values[node.output]
    constants = [i for i, value in enumerate(values) if value.constant is not None]
    small = [i for i, v in enumerate(values) if v.constant is None and v.shape != output.shape]
    if len(constants) == 1 and not small:
        return _with_constant(builder, node, constants[0], output)
    if len(small) == 1 and not constants and _is_vector(values[small[0]], output):
        return _with_vector(builder, node, small[0], output)
    if small or constants:
        shapes = " and ".join(str(value.shape) for value in values)
        raise builder.refusal(node, f"of the shapes {shapes}")
    first, second = node.inputs
    tail = _limits(builder, node, output)

    def write(call: Call) -> list[str]:
        kernel, other = _KERNELS[node.name][call.taken], (second, first)[call.taken]
        size = output.columns * output.depth
        return [f"{kernel}({call.output}, {call.values[other]}, {size});", *tail(call)]

    return _in_place(node, output, write, (first, second))


def _is_vector(value: Value, output: Value) -> bool:
    return value.rows * value.columns == 1 and value.depth == output.depth


def _with_vector(builder: Builder, node: Node, place: int, output: Value) -> Step:
    """A map and a vector that was computed, such as a gate."""
    tail, kernel = _limits(builder, node, output), _KERNELS[node.name][1 - place]
    vector, source = node.inputs[place], node.inputs[1 - place]

    def write(call: Call) -> list[str]:
        size = f"{output.columns}, {output.depth}"
        line = f"{kernel}_channels({call.output}, {call.values[vector]}, {size});"
        return [line, *tail(call)]

    return _in_place(node, output, write, (source,), whole=(vector,))


def _with_constant(builder: Builder, node: Node, place: int, output: Value) -> Step:
    before = builder.constants.size
    values = builder.constant(node, place).astype(np.float32)
    tail, kernel = _limits(builder, node, output), _KERNELS[node.name][1 - place]
    source, size = node.inputs[1 - place], output.columns * output.depth
    one_each = values.ndim == 0 or values.shape[-1] in (1, output.depth)
    if values.size in (1, output.depth) and one_each:
        vector = np.broadcast_to(values.reshape(-1), (output.depth,))
        name, count, depth = _widened(builder, vector, output)
        return _in_place(
            node,
            output,
            lambda call: [
                f"{kernel}_channels({call.output}, {name}, {count}, {depth});",
                *tail(call),
            ],
            (source,),
            flash=builder.constants.size - before,
        )
    if values.size != output.rows * size:
        raise builder.refusal(node, f"with a constant of the shape {values.shape}")
    name = builder.add("constant", values)
    return _in_place(
        node,
        output,
        lambda call: [
            f"{kernel}({call.output}, {name} + {call.row} * {size}, {size});",
            *tail(call),
        ],
        (source,),
        flash=builder.constants.size - before,
    )


def _widened(builder: Builder, vector: NDArray[np.float32], output: Value) -> tuple[str, int, int]:
    """A vector for several pixels at once, if they have few channels: loops get longer."""
    count, depth = output.columns, output.depth
    while depth < BLOCK and count % 2 == 0:
        count, depth = count // 2, depth * 2
    return builder.add("vector", np.tile(vector, depth // output.depth)), count, depth


def prelu(builder: Builder, node: Node) -> Step:
    """Negative numbers times a slope for each channel."""
    before = builder.constants.size
    output = builder.network.values[node.output]
    slopes = builder.constant(node, 1).astype(np.float32)
    if slopes.size not in (1, output.depth) or slopes.shape[-1] not in (1, output.depth):
        raise builder.refusal(node, f"with slopes of the shape {slopes.shape}")
    vector = np.broadcast_to(slopes.reshape(-1), (output.depth,))
    name, count, depth = _widened(builder, vector, output)
    return _in_place(
        node,
        output,
        lambda call: [f"s2bnn_prelu({call.output}, {name}, {count}, {depth});"],
        node.inputs[:1],
        flash=builder.constants.size - before,
    )


def activation(builder: Builder, node: Node) -> Step:
    """Limits, the logistic function, and the like."""
    output = builder.network.values[node.output]
    size = output.columns * output.depth

    def write(call: Call) -> list[str]:
        if node.name in _FUNCTIONS:
            return [f"{_FUNCTIONS[node.name]}({call.output}, {size});"]
        limits = ", ".join(limit_fields(_CLAMPS[node.name]))
        return [f"s2bnn_clamp({call.output}, {limits}, {size});"]

    return _in_place(node, output, write, node.inputs[:1])


def normalize(builder: Builder, node: Node) -> Step:
    """The softmax, or the scaling to unit length, of each pixel's channels."""
    output = builder.network.values[node.output]
    size = f"{output.columns}, {output.depth}"

    def write(call: Call) -> list[str]:
        if node.name == "SOFTMAX":
            beta = limit_fields((node.options["beta"], 0))[0]
            return [f"s2bnn_softmax({call.output}, {beta}, {size});"]
        return [f"s2bnn_unit_length({call.output}, {size});"]

    return _in_place(node, output, write, node.inputs[:1])


def concatenate(builder: Builder, node: Node) -> Step:
    """The channels of several maps, one behind the other."""
    output = builder.network.values[node.output]
    values = [builder.value(node, position) for position in range(len(node.inputs))]
    tail = _limits(builder, node, output)
    axis = node.options.get("axis", 0) % len(output.shape)
    if axis != len(output.shape) - 1 or output.dtype != np.float32:
        raise builder.refusal(node, "along another axis than channels")

    def write(call: Call) -> list[str]:
        lines, first = [], 0
        for index, value in zip(node.inputs, values):
            size = f"{value.columns}, {value.depth}"
            target = f"{call.output} + {first}" if first else call.output
            source = call.values[index]
            lines.append(f"s2bnn_put_channels({source}, {size}, {target}, {output.depth});")
            first += value.depth
        return [*lines, *tail(call)]

    return Step(node.name, (), node.inputs, node.output, output.rows, write)


def _in_place(
    node: Node,
    output: Value,
    write: Write,
    by_row: tuple[int, ...],
    *,
    whole: tuple[int, ...] = (),
    flash: int = 0,
) -> Step:
    return Step(
        node.name, whole, by_row, node.output, output.rows, write, in_place=True, flash=flash
    )


def _limits(builder: Builder, node: Node, output: Value) -> Write:
    """What writes the limits of a fused activation, if there is one."""
    limits = builder.limits(node)
    size = output.columns * output.depth

    def write(call: Call) -> list[str]:
        if limits == (-np.inf, np.inf):
            return []
        return [f"s2bnn_clamp({call.output}, {', '.join(limit_fields(limits))}, {size});"]

    return write
