"""A `.tflite` as what the C source is made of: nodes with their options, and values with shapes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import ModelError
from s2bnn_tf.tflite import Table, TFLiteGraph, read_graph, read_tables

# They only change the shape, and a map is stored in the same order either way.
_SAME_BYTES = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}


@dataclass(frozen=True)
class Value:
    """What an operation reads or writes.

    Attributes:
        shape: The shape in the file.
        dtype: The number type in the file; int32 is bits, 32 channels in each word.
        constant: Its content if the file holds it, otherwise None.
        scales: One scale for each row of `constant` if it is weights of 8 bits.
    """

    shape: tuple[int, ...]
    dtype: Any
    constant: NDArray[Any] | None = None
    scales: NDArray[np.float32] | None = None

    @property
    def rows(self) -> int:
        """The height of a map, 1 for a vector."""
        return self.shape[1] if len(self.shape) == 4 else 1

    @property
    def columns(self) -> int:
        """The width of a map, 1 for a vector."""
        return self.shape[2] if len(self.shape) == 4 else 1

    @property
    def depth(self) -> int:
        """The numbers or words of 4 bytes in a pixel."""
        return self.shape[-1]


@dataclass(frozen=True)
class Node:
    """An operation with its options; `inputs` and `outputs` are keys of `Network.values`."""

    name: str
    inputs: tuple[int, ...]
    output: int
    options: dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A network with one input. Reshapes and constants in 8 bits are resolved.

    Attributes:
        file: The name of the `.tflite`.
        sha256: Its checksum.
        values: What the nodes read and write.
        nodes: In order of execution.
        input: The key of the picture.
        outputs: The keys of the outputs.
    """

    file: str
    sha256: str
    values: dict[int, Value]
    nodes: list[Node]
    input: int
    outputs: list[int]


def read_network(path: str | Path) -> Network:
    """Read a `.tflite` for export.

    Raises:
        ModelError: If it is not a whole model, or has several inputs, another input than one
            float32 map or vector, a batch, or shapes that are not fixed.
    """
    path = Path(path)
    graph = read_graph(path)
    (file,) = read_tables(graph.data).tables("subgraphs")
    _check_input(path, graph, file)
    values: dict[int, Value] = {}
    same: dict[int, int] = {}
    nodes = []
    for index, tensor in enumerate(graph.tensors):
        values[index] = Value(tensor.shape, tensor.dtype, tensor.constant)
    tensors = file.tables("tensors")
    for item, operation in zip(file.tables("operators"), graph.operations):
        inputs = tuple(same.get(index, index) for index in operation.inputs)
        output = operation.outputs[0]
        source = values.get(inputs[0]) if inputs else None
        if operation.name in _SAME_BYTES and source is not None and source.constant is None:
            same[output] = inputs[0]
            if output in graph.outputs:
                values[inputs[0]] = values[output]
            continue
        if operation.name == "DEQUANTIZE" and source is not None and source.constant is not None:
            values[output] = _weights(path, source, tensors[operation.inputs[0]])
            continue
        if len(operation.outputs) != 1:
            raise ModelError(
                f"{path} has a node {operation.name} with several outputs, and C "
                "source is made of operations with one; convert another network."
            )
        options = item.table("builtin_options")
        found = options.values() if options else dict(operation.options)
        nodes.append(Node(operation.name, inputs, output, found))
    return Network(
        path.name,
        hashlib.sha256(graph.data).hexdigest(),
        values,
        nodes,
        graph.inputs[0],
        [same.get(index, index) for index in graph.outputs],
    )


def _check_input(path: Path, graph: TFLiteGraph, file: Table) -> None:
    if len(graph.inputs) != 1:
        raise ModelError(
            f"{path} has {len(graph.inputs)} inputs, and C source is made of networks with one: "
            "name a file made by `s2bnn convert`."
        )
    tensor = graph.tensors[graph.inputs[0]]
    for index in (*graph.inputs, *graph.outputs):
        if graph.tensors[index].dtype != np.float32:
            raise ModelError(
                f"{path} takes or returns {graph.tensors[index].dtype}, and C source is made of "
                "networks from float32 to float32: convert it with float32 inputs and outputs."
            )
    signature = file.tables("tensors")[graph.inputs[0]].vector("shape_signature")
    if min(signature[1:], default=1) < 0:
        raise ModelError(f"{path} has shapes that are not fixed: convert it with a fixed size.")
    for item in graph.tensors:
        if len(item.shape) == 4 and item.constant is None and item.shape[0] != 1:
            raise ModelError(
                f"{path} takes {item.shape[0]} pictures at once: convert it with a batch of 1."
            )
    if len(tensor.shape) not in (2, 4) or min(tensor.shape) < 1:
        raise ModelError(
            f"{path} takes an input of the shape {tensor.shape}, not one picture (1, H, W, C): "
            "name a file made by `s2bnn convert`."
        )


def _weights(path: Path, source: Value, tensor: Table) -> Value:
    """Weights in 8 or 16 bits that the file turns into floats before it runs."""
    assert source.constant is not None
    if source.constant.dtype == np.float16:
        return Value(source.shape, np.float32, source.constant.astype(np.float32))
    details = tensor.table("quantization") or Table("QuantizationParameters")
    scales = details.vector("scale").astype(np.float32)
    is_shifted = bool(details.vector("zero_point").any())
    by_row = len(scales) in (1, source.shape[0]) and details.number("quantized_dimension") == 0
    if source.constant.dtype != np.int8 or not by_row or is_shifted:
        raise ModelError(
            f"{path} holds weights in {source.constant.dtype} with zero points or by columns, "
            "which the C source does not know: convert the network with `s2bnn convert`."
        )
    return Value(
        source.shape, np.int8, source.constant, np.broadcast_to(scales, source.shape[:1]).copy()
    )
