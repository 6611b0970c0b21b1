"""Whether the operations of a graph can be executed in their order.

TensorFlow Lite trusts a file in this, and crashes on a tensor that is used before it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from s2bnn_tf.tflite.flatbuffer import FlatbufferError
from s2bnn_tf.tflite.parts import Operation, Tensor

ABSENT = -1  # the index of an optional input that is left out
_LONGEST_NAME = 80


def check_execution(
    tensors: Sequence[Tensor],
    nodes: Sequence[Operation],
    inputs: Iterable[int],
    outputs: Iterable[int],
) -> None:
    """Check that each tensor has one source, and is there before it is read.

    Args:
        tensors: The tensors of the graph.
        nodes: Its operations in order of execution.
        inputs: Tensor indices of the graph's inputs.
        outputs: Tensor indices of the graph's outputs.

    Raises:
        FlatbufferError: If an index has no tensor; if an operation reads a tensor that is no
            input of the graph, no constant, no variable and not made by an earlier operation, or
            writes one that is an input, a constant or made already; or if an input of the graph
            is a constant or an output is never made. The message names operation and tensor.
    """

    nodes, inputs, outputs = list(nodes), list(inputs), list(outputs)
    _check_indices(tensors, nodes, inputs, outputs)
    sources = _find_sources(tensors, nodes, inputs)
    for position, node in enumerate(nodes):
        for index in node.inputs:
            if index == ABSENT or (index not in sources and 0 in tensors[index].shape):
                continue  # an empty tensor has no content in the file
            maker = sources.get(index)
            what = f"{_node(nodes, position)} reads {_tensor(tensors, index)}"
            if maker is None:
                raise FlatbufferError(f"{what}, which nothing makes")
            if isinstance(maker, int) and maker >= position:
                raise FlatbufferError(f"{what} before {_node(nodes, maker)} makes it")
    for index in outputs:
        if index not in sources and 0 not in tensors[index].shape:
            raise FlatbufferError(f"nothing makes the output {_tensor(tensors, index)}")


def _check_indices(
    tensors: Sequence[Tensor], nodes: Sequence[Operation], inputs: list[int], outputs: list[int]
) -> None:
    users = [("the graph", (*inputs, *outputs))]
    for position, node in enumerate(nodes):
        used = [index for index in node.inputs if index != ABSENT]
        users.append((_node(nodes, position), (*used, *node.outputs)))
    for who, indices in users:
        for index in indices:
            if not 0 <= index < len(tensors):
                raise FlatbufferError(f"{who} uses tensor {index} of {len(tensors)}")


def _find_sources(
    tensors: Sequence[Tensor], nodes: Sequence[Operation], inputs: list[int]
) -> dict[int, str | int]:
    """What gives each tensor its values: the position of a node, or something else in words."""
    sources: dict[int, str | int] = {}
    for index, tensor in enumerate(tensors):
        if tensor.has_content:
            sources[index] = "a constant"
        elif tensor.is_variable:
            sources[index] = "a variable"
    for index in inputs:
        if sources.get(index) == "a constant":
            raise FlatbufferError(f"the input {_tensor(tensors, index)} is a constant")
        sources[index] = "an input of the graph"
    for position, node in enumerate(nodes):
        for index in node.outputs:
            other = sources.get(index)
            if other is not None:
                if isinstance(other, int):
                    other = f"made by {_node(nodes, other)} too"
                raise FlatbufferError(
                    f"{_node(nodes, position)} makes {_tensor(tensors, index)}, which is {other}"
                )
            sources[index] = position
    return sources


def _node(nodes: Sequence[Operation], position: int) -> str:
    return f"node {position} ({nodes[position].name[:_LONGEST_NAME]})"


def _tensor(tensors: Sequence[Tensor], index: int) -> str:
    name = tensors[index].name[:_LONGEST_NAME]
    return f"tensor {index} ({name!r})" if name else f"tensor {index}"
