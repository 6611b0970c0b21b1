"""What the functions that make steps share: the network, its constants, and how to refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import ModelError
from s2bnn_tf.export.c_source.constants import Constants, float_literal
from s2bnn_tf.export.c_source.network import Network, Node, Value

_WINDOW_BYTES = 12 * 4
# The limits of TensorFlow Lite's fused activations.
_LIMITS = {0: (-np.inf, np.inf), 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


@dataclass(frozen=True)
class Axis:
    """A window along one axis: sizes and distances in pixels."""

    filter: int
    stride: int = 1
    dilation: int = 1


@dataclass(frozen=True)
class StripWindow:
    """How the first convolution moves down the picture: its rows, its stride, and its padding."""

    reach: int
    stride: int
    top: int


class Builder:
    """Makes the constants of a network's steps.

    Attributes:
        network: The network.
        constants: What was made so far.
        number: The number of the node at hand, for the names of its constants.
        strip: The number of the node that reads a strip of its input with the padding in it.
        strip_window: How it moves, once its step is made.
    """

    strip_window: StripWindow

    def __init__(self, network: Network):
        self.network = network
        self.constants = Constants()
        self.number = 0
        self.strip: int | None = None

    def value(self, node: Node, position: int) -> Value:
        """An input of a node that is no constant, in float32 or bits."""
        index = node.inputs[position] if position < len(node.inputs) else -1
        value = self.network.values.get(index)
        if value is None or value.constant is not None:
            raise self.refusal(node, f"with a constant as its input {position}")
        return value

    def constant(self, node: Node, position: int) -> NDArray[Any]:
        """An input of a node that has to be a constant in float32 or int32."""
        index = node.inputs[position] if position < len(node.inputs) else -1
        value = self.network.values.get(index)
        if value is None or value.constant is None:
            raise self.refusal(node, f"without a constant as its input {position}")
        return self.floats(value)

    def floats(self, value: Value) -> NDArray[Any]:
        """The numbers of a constant; weights of 8 bits as floats."""
        assert value.constant is not None
        if value.scales is None:
            return value.constant
        shape = (-1, *[1] * (value.constant.ndim - 1))
        return value.constant.astype(np.float32) * value.scales.reshape(shape)

    def bias(self, node: Node, channels: int) -> str:
        """The name of the bias of a node, zeros if it has none."""
        given = len(node.inputs) > 2 and node.inputs[2] >= 0
        values = self.constant(node, 2) if given else np.zeros(channels, np.float32)
        if values.shape != (channels,) or values.dtype != np.float32:
            raise self.refusal(node, f"with a bias of {values.dtype} {values.shape}")
        return self.add("bias", values)

    def add(self, what: str, values: NDArray[Any]) -> str:
        """Add a constant array of the node at hand; return its name."""
        return self.constants.add(f"{what}_{self.number}", values)

    def add_struct(self, kind: str, fields: list[str], size: int) -> str:
        """Add a constant structure of the node at hand; return its address in C."""
        name = f"{kind.removeprefix('s2bnn_')}_{self.number}"
        return "&" + self.constants.add_struct(kind, name, fields, size)

    def window(self, node: Node, vertical: Axis, horizontal: Axis, *, same: bool) -> str:
        """A window of the node at hand as an initializer in C."""
        source, output = self.value(node, 0), self.network.values[node.output]
        if len(source.shape) != 4 or len(output.shape) != 4:
            raise self.refusal(node, f"on an input of the shape {source.shape}")
        sizes = (source.rows, output.rows), (source.columns, output.columns)
        padding = []
        for (size, made), axis in zip(sizes, (vertical, horizontal)):
            reach = (axis.filter - 1) * axis.dilation + 1
            expected = -(-size // axis.stride) if same else (size - reach) // axis.stride + 1
            if made != expected:
                raise self.refusal(node, f"whose output has the shape {output.shape}")
            needed = (made - 1) * axis.stride + reach - size
            padding.append(max(needed, 0) // 2 if same else 0)
        height = source.rows
        if self.number == self.strip:
            height = (vertical.filter - 1) * vertical.dilation + 1
            self.strip_window = StripWindow(height, vertical.stride, padding[0])
            padding[0] = 0
        pairs = [(axis.filter, axis.stride, axis.dilation) for axis in (vertical, horizontal)]
        numbers = [height, source.columns, source.depth, output.columns]
        numbers += [side for pair in zip(*pairs) for side in pair] + padding
        return "{" + ", ".join(map(str, numbers)) + "}"

    def limits(self, node: Node) -> tuple[float, float]:
        """The limits of a node's fused activation."""
        kind = node.options.get("activation", 0)
        if kind not in _LIMITS:
            raise self.refusal(node, f"with the fused activation {kind}")
        return _LIMITS[kind]

    def refusal(self, node: Node, what: str = "") -> ModelError:
        """The error that says which operation is not known."""
        words = f"{node.name} {what}".strip()
        return ModelError(
            f"{self.network.file} has the operation {words}, which C source cannot be made of: "
            "name a file made by `s2bnn convert`, or a binary network of Larq Compute Engine in "
            "float32."
        )


def limit_fields(limits: tuple[float, float]) -> list[str]:
    """The fields `low` and `high` of a structure."""
    return [float_literal(limit) for limit in limits]
