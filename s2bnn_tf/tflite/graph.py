"""The structure of a `.tflite` file: its tensors, operations and constants, read from the bytes.

TensorFlow Lite's C++ trusts the bytes it is given and may abort the process on a damaged file.
This package therefore reads the file, and checks all bounds, in Python.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.tflite.execution import check_execution
from s2bnn_tf.tflite.flatbuffer import FlatbufferError
from s2bnn_tf.tflite.larq_operators import BINARY_CONVOLUTION, check_larq_operator
from s2bnn_tf.tflite.operators import check_operator
from s2bnn_tf.tflite.options import read_options
from s2bnn_tf.tflite.parts import Operation, Tensor
from s2bnn_tf.tflite.schema_text import OPERATORS
from s2bnn_tf.tflite.tables import Table, read_tables, write_tables

# By their numbers in the enumeration TensorType of the schema
_DTYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype(np.float32),
    1: np.dtype(np.float16),
    2: np.dtype(np.int32),
    3: np.dtype(np.uint8),
    4: np.dtype(np.int64),
    6: np.dtype(np.bool_),
    7: np.dtype(np.int16),
    9: np.dtype(np.int8),
    10: np.dtype(np.float64),
}
_BUILTIN_NAMES = dict(enumerate(OPERATORS.split()))
_SAME_PADDING = 0  # the value of LceBconv2d's option `padding`
# The exceptions that Python raises on parts that are missing or do not fit each other.
_READ_ERRORS = (LookupError, MemoryError, OverflowError, ValueError)


class TFLiteGraph:
    """A `.tflite` file as Python objects.

    Args:
        data: The bytes of the file.

    Attributes:
        inputs: Tensor indices of the inputs.
        outputs: Tensor indices of the outputs.
        tensors: All tensors.
        operations: All operations in order of execution.
        data: The bytes of the file.

    Raises:
        FlatbufferError: If the bytes are not a complete, consistent model, if its operations
            cannot be executed in their order, or if TensorFlow's kernels would crash on one.
    """

    def __init__(self, data: bytes):
        model = read_tables(data)
        try:
            self._read(model)
        except FlatbufferError:
            raise
        except _READ_ERRORS as error:
            raise FlatbufferError("it is damaged or cut short") from error
        self.data = data

    def _read(self, model: Table) -> None:
        (graph,) = model.tables("subgraphs")
        buffers, tensors = model.tables("buffers"), graph.tables("tensors")
        self.tensors = [_tensor(tensor, buffers) for tensor in tensors]
        codes = [_Code.read(code) for code in model.tables("operator_codes")]
        nodes = graph.tables("operators")
        self.operations = [_operation(node, codes) for node in nodes]
        self.inputs = _indices(graph.vector("inputs"))
        self.outputs = _indices(graph.vector("outputs"))
        check_execution(self.tensors, self.operations, self.inputs, self.outputs)
        types = [tensor.number("type") for tensor in tensors]
        for node, operation in zip(nodes, self.operations):
            if codes[node.number("opcode_index")].is_custom:
                check_larq_operator(operation, self.tensors)
            else:
                check_operator(operation, node.table("builtin_options"), types)

    def binary_convolutions(self) -> list[Operation]:
        """All operations `LceBconv2d`, in order of execution."""
        return [item for item in self.operations if item.name == BINARY_CONVOLUTION]

    def constant_bytes(self, dtype: type[np.generic]) -> int:
        """The size in bytes of all constants of one type, such as `np.float32`."""
        constants = (tensor.constant for tensor in self.tensors)
        return sum(c.nbytes for c in constants if c is not None and c.dtype == dtype)


def filter_exceeds_input(graph: TFLiteGraph, operation: Operation) -> bool:
    """Whether a zero-padded binary filter is larger than its input, in height or width.

    The default and indirect kernels of Larq Compute Engine compute wrong values in this case;
    its reference kernel (`use_reference_bconv=True`) is right.

    Args:
        graph: The model.
        operation: One of its binary convolutions.
    """
    options = operation.options
    if options["padding"] != _SAME_PADDING or options["pad_values"] != 0:
        return False
    sizes = graph.tensors[operation.inputs[0]].shape[1:3]
    kernel = graph.tensors[operation.inputs[1]].shape[1:3]
    dilations = (options["dilation_height_factor"], options["dilation_width_factor"])
    return any(
        (side - 1) * dilation + 1 > size for side, dilation, size in zip(kernel, dilations, sizes)
    )


def with_outputs(data: bytes, tensors: list[int]) -> bytes:
    """Make a copy of a model that has these tensors as its outputs.

    Args:
        data: The bytes of a `.tflite`.
        tensors: Tensor indices, in the order of the new outputs.
    """
    model = read_tables(data)
    model.tables("subgraphs")[0].set("outputs", tensors)
    model.remove("signature_defs")
    return write_tables(model)


def unpack_signs(words: NDArray[np.int32], channels: int) -> NDArray[np.float32]:
    """Convert bits, `(..., ceil(channels / 32))`, to signs -1 and +1, `(..., channels)`."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    return 1 - 2 * bits[..., :channels].astype(np.float32)


def _tensor(tensor: Table, buffers: list[Table]) -> Tensor:
    shape = _indices(tensor.vector("shape"))
    dtype = _DTYPES.get(tensor.number("type"))
    content = buffers[tensor.number("buffer")].vector("data").tobytes()
    constant = None
    if min(shape, default=0) < 0 or math.prod(shape) > 2**31:
        raise ValueError("impossible shape")
    if content and dtype is not None:
        constant = np.frombuffer(content, dtype).reshape(shape)
    return Tensor(
        name=tensor.vector("name").tobytes().decode(),
        shape=shape,
        dtype=dtype,
        constant=constant,
        has_content=bool(content),
        is_variable=bool(tensor.number("is_variable")),
    )


class _Code(NamedTuple):
    name: str
    is_custom: bool

    @classmethod
    def read(cls, code: Table) -> _Code:
        # Files older than schema 3a hold the number only in the deprecated field.
        number = max(code.number("builtin_code"), code.number("deprecated_builtin_code"))
        name = _BUILTIN_NAMES[number]
        if name == "CUSTOM":
            return cls(code.vector("custom_code").tobytes().decode(), True)
        return cls(name, False)


def _operation(node: Table, codes: list[_Code]) -> Operation:
    name, is_custom = codes[node.number("opcode_index")]
    options = b""
    # The options of other custom operations may hold anything.
    if is_custom and name.startswith("Lce"):
        options = node.vector("custom_options").tobytes()
    return Operation(
        name=name,
        inputs=_indices(node.vector("inputs")),
        outputs=_indices(node.vector("outputs")),
        options=read_options(options) if options else {},
    )


def _indices(values: NDArray[np.int32]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
