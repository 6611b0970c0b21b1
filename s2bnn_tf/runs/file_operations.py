"""The operations of a `.tflite`, read from the output to the input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.tflite import Operation, TFLiteGraph, read_tables

Array = NDArray[np.float32]

# Numbers of the enumeration ActivationFunctionType; Larq Compute Engine has the same.
_NOTHING, _RELU = 0, 1


class MismatchError(Exception):
    """The operations are not those that the network becomes."""


class FileOperations:
    """Steps from what an operation makes to what it is made of.

    Args:
        graph: The file.
    """

    def __init__(self, graph: TFLiteGraph):
        self.graph = graph
        self._makers = {index: item for item in graph.operations for index in item.outputs}
        self._fused: dict[int, int] = {}  # the activation inside the operation that makes a tensor
        self._relus: set[int] = set()  # the tensors with one that the network is known to have
        nodes = read_tables(graph.data).tables("subgraphs")[0].tables("operators")
        for node, operation in zip(nodes, graph.operations):
            options = node.table("builtin_options")
            found = options.values().get("activation", _NOTHING) if options else _NOTHING
            found = operation.options.get("fused_activation_function", found)
            self._fused.update(dict.fromkeys(operation.outputs, found))

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self.graph.tensors[tensor].shape

    def made_by(self, tensor: int, name: str) -> Operation:
        """The operation that makes a tensor, with no activation inside but a known ReLU.

        Raises:
            MismatchError: If it is another one.
        """
        found = self._maker(tensor, name)
        if found is None:
            raise MismatchError(f"tensor {tensor} is not made by {name}")
        return found

    def before_relu(self, tensor: int) -> int:
        """What a ReLU is applied to: the tensor itself if it is part of another operation."""
        separate = self._maker(tensor, "RELU")
        if separate is not None:
            return separate.inputs[0]
        self._relus.add(tensor)
        return tensor

    def is_made_by(self, tensor: int, name: str) -> bool:
        """Whether `made_by` finds this operation."""
        return self._maker(tensor, name) is not None

    def maps(self, tensor: int, name: str) -> tuple[int, ...]:
        """What an operation adds, multiplies or concatenates, none of which is a constant.

        Raises:
            MismatchError: If the tensor is made in another way.
        """
        inputs = self.made_by(tensor, name).inputs
        if any(self.graph.tensors[index].has_content for index in inputs):
            raise MismatchError(f"tensor {tensor} is not made of maps")
        return inputs

    def without_constant(self, tensor: int, name: str) -> tuple[Array | None, int]:
        """The constant that was added or multiplied last, one number or `(channels,)`, and to what.

        None and the tensor itself if there is none: the converter leaves out what has no effect.
        """
        found = self._maker(tensor, name)
        if found is None or len(found.inputs) != 2:
            return None, tensor
        for place, other in ((0, 1), (1, 0)):
            if self.graph.tensors[found.inputs[place]].has_content:
                constant = self.constant(found, place).reshape(-1)
                if constant.size not in (1, self.shape(tensor)[-1]):
                    break
                return constant, found.inputs[other]
        return None, tensor

    def without_shifts(self, tensor: int) -> tuple[Array, int]:
        """The sum of all constants that were added last, and the tensor before them."""
        total = np.zeros(1, np.float32)
        while True:
            shift, tensor = self.without_constant(tensor, "ADD")
            if shift is None:
                return total, tensor
            total = total + shift

    def constant(
        self,
        operation: Operation,
        place: int,
        dtype: type[np.generic] = np.float32,
        *,
        rank: int | None = None,
    ) -> NDArray[Any]:
        """A constant input of an operation.

        Raises:
            MismatchError: If it is not constant, or has another type or rank.
        """
        index = operation.inputs[place] if len(operation.inputs) > place else -1
        found = self.graph.tensors[index].constant if index >= 0 else None
        if found is None or found.dtype != dtype or rank not in (None, found.ndim):
            raise MismatchError(f"input {place} of {operation.name} is another one")
        return found

    def features(self) -> int | None:
        """The last vector that is the mean of a map: the features of the network, or None."""
        for operation in reversed(self.graph.operations):
            if operation.name == "MEAN" and len(self.shape(operation.outputs[0])) == 2:
                return operation.outputs[0]
        return None

    def _maker(self, tensor: int, name: str) -> Operation | None:
        found = self._makers.get(tensor)
        expected = _RELU if tensor in self._relus else _NOTHING
        if found is None or found.name != name or self._fused[tensor] != expected:
            return None
        return found if found.inputs else None
