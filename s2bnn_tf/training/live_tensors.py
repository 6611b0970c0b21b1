"""How much memory the tensors of a graph take at the same time, without running it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# A prime, so that the first axis of a kernel is hardly ever a multiple of it by chance.
_PROBE = 61
# Operations whose result is their first input, or a variable, or a constant.
_ALIASES = {
    *("Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient"),
    *("PreventGradient", "EnsureShape", "CheckNumerics"),
}
_NOT_COUNTED = {"Placeholder", "Const", "ReadVariableOp", "VarHandleOp", "Shape", "Size", "Rank"}
# Operations that write their result over an input that nobody reads after them.
_IN_PLACE = {
    *("Add", "AddV2", "AddN", "Sub", "Mul", "RealDiv", "Maximum", "Minimum", "BiasAdd"),
    *("Relu", "ReluGrad", "Relu6", "Relu6Grad", "Neg", "Abs", "Sign", "Square", "Sqrt", "Rsqrt"),
    *("Exp", "Log", "Tanh", "Sigmoid", "SelectV2", "Select", "FusedBatchNormV3"),
    *("Softmax", "LeakyRelu", "Elu", "Softplus", "ZerosLike", "OnesLike"),
}


class LiveTensors(NamedTuple):
    """The memory of a graph's tensors while its operations run in order.

    Attributes:
        fixed: Bytes that do not depend on the batch, one number per operation.
        per_image: Bytes for each image of the batch, one number per operation.
    """

    fixed: NDArray[np.float64]
    per_image: NDArray[np.float64]

    @property
    def operations(self) -> int:
        """The number of operations."""
        return len(self.fixed)

    def peak(self, batch: int) -> float:
        """Return the most bytes that are in use at the same time, for a batch of that size."""
        return float(np.max(self.fixed + batch * self.per_image, initial=0.0))


def live_tensors(
    function: Callable[[tf.Tensor], Sequence[list[tf.Tensor]]], image_shape: Sequence[int]
) -> list[LiveTensors]:
    """Trace a function of a batch of images, and follow the life of its tensors.

    Nothing is computed. A tensor lives from the operation that makes it to the last that reads
    it. Operations run in the order in which they were traced, which is how TensorFlow's executor
    runs a network that is mostly a chain; what it runs at the same time, and the gaps in its
    memory, are not counted.

    Args:
        function: From float32 `(B, H, W, C)` to lists of tensors that are wanted in the end.
        image_shape: Height, width and channels.

    Returns:
        For each list, the tensors of what it takes to compute that list alone.
    """
    graph = tf.__internal__.FuncGraph("counted")
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.float32, (_PROBE, *image_shape))
        wanted = [[value for value in values if value is not None] for values in function(images)]
    return [_follow(_needed(graph, results), results) for results in wanted]


def _needed(graph: Any, results: list[Any]) -> list[tf.Operation]:
    """The operations that the results depend on, in the order in which they were traced."""
    needed: set[Any] = set()
    waiting = [value.op for value in results]
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += [value.op for value in operation.inputs]
    return [operation for operation in graph.get_operations() if operation in needed]


class _Buffer:
    """Memory that one tensor has, or several in turn.

    Attributes:
        fixed: Its bytes, if they do not depend on the batch.
        per_image: Its bytes for each image otherwise.
        readers: How many operations have still to read it.
    """

    def __init__(self, tensor: Any):
        shape, size = tensor.shape, tensor.dtype.size or 0
        known = shape.rank is not None
        # What is not known depends on the batch, the only thing that is not fixed in a recipe.
        dimensions = [d if d is not None else _PROBE for d in shape] if known else [0]
        size *= math.prod(dimensions)
        of_batch = bool(dimensions) and dimensions[0] > 0 and dimensions[0] % _PROBE == 0
        self.fixed = 0.0 if of_batch else float(size)
        self.per_image = size / _PROBE if of_batch else 0.0
        self.readers = 0

    def fits(self, other: _Buffer) -> bool:
        return (self.fixed, self.per_image) == (other.fixed, other.per_image)


def _follow(operations: list[tf.Operation], results: list[Any]) -> LiveTensors:
    """Take and give back memory, operation by operation."""
    readers = Counter(value.ref() for value in results)  # which are never given back
    for operation in operations:
        readers.update(value.ref() for value in _each_once(operation.inputs))
    buffers: dict[Any, _Buffer | None] = {}
    change = np.zeros((len(operations) + 1, 2))
    for moment, operation in enumerate(operations):
        read = [buffers[value.ref()] for value in _each_once(operation.inputs)]
        for value in operation.outputs:
            buffer = _place(operation, value, [buffers[i.ref()] for i in operation.inputs])
            buffers[value.ref()] = buffer
            if buffer is None:
                continue
            if buffer not in read:
                change[moment] += buffer.fixed, buffer.per_image
            buffer.readers += readers[value.ref()]
            if not buffer.readers:  # nobody wants it
                change[moment + 1] -= buffer.fixed, buffer.per_image
        for buffer in read:
            if buffer is not None:
                buffer.readers -= 1
                if not buffer.readers:
                    change[moment + 1] -= buffer.fixed, buffer.per_image
    live = np.cumsum(change, axis=0)
    return LiveTensors(live[:-1, 0], live[:-1, 1])


def _place(operation: tf.Operation, value: Any, inputs: list[_Buffer | None]) -> _Buffer | None:
    """The memory of a result: none, that of an input, or new."""
    if operation.type in _NOT_COUNTED:
        return None
    if operation.type in _ALIASES:
        return inputs[int(value.value_index)]
    new = _Buffer(value)
    if operation.type in _IN_PLACE:
        for buffer in inputs:
            if buffer is not None and buffer.readers == 1 and buffer.fits(new):
                return buffer
    return new


def _each_once(values: Sequence[Any]) -> list[Any]:
    """Tensors, each once: an operation that reads one twice is one reader."""
    return list({value.ref(): value for value in values}.values())
