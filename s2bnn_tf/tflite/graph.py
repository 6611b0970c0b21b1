"""The structure of a `.tflite` file: its tensors, operations and constants, read from the bytes.

TensorFlow Lite's C++ trusts the bytes it is given and may abort the process on a damaged file.
This package therefore reads the file, and checks all bounds, in Python.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.tflite.execution import check_execution
from s2bnn_tf.tflite.flatbuffer import FlatbufferError, verify
from s2bnn_tf.tflite.larq_operators import BINARY_CONVOLUTION, check_larq_operator
from s2bnn_tf.tflite.operators import check_operator
from s2bnn_tf.tflite.options import read_options
from s2bnn_tf.tflite.parts import Operation, Tensor

_DTYPES: dict[int, np.dtype[Any]] = {
    schema.TensorType.FLOAT32: np.dtype(np.float32),
    schema.TensorType.FLOAT16: np.dtype(np.float16),
    schema.TensorType.FLOAT64: np.dtype(np.float64),
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.INT16: np.dtype(np.int16),
    schema.TensorType.INT32: np.dtype(np.int32),
    schema.TensorType.INT64: np.dtype(np.int64),
    schema.TensorType.UINT8: np.dtype(np.uint8),
    schema.TensorType.BOOL: np.dtype(np.bool_),
}
_BUILTIN_NAMES: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}
_SAME_PADDING = 0  # the value of LceBconv2d's option `padding`
# The exceptions that Python raises on reading beyond the bytes, or a number that makes no sense.
_READ_ERRORS = (
    AttributeError,
    LookupError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
    struct.error,
)


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
        verify(data)
        try:
            model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
            self._read(model)
        except FlatbufferError:
            raise
        except _READ_ERRORS as error:
            raise FlatbufferError("it is damaged or cut short") from error
        self.data = data

    def _read(self, model: schema.ModelT) -> None:
        (graph,) = model.subgraphs
        self.tensors = [_tensor(tensor, model.buffers) for tensor in graph.tensors]
        codes = [_Code.read(code) for code in model.operatorCodes]
        self.operations = [_operation(item, codes) for item in graph.operators]
        self.inputs = _indices(graph.inputs)
        self.outputs = _indices(graph.outputs)
        check_execution(self.tensors, self.operations, self.inputs, self.outputs)
        types = [tensor.type for tensor in graph.tensors]
        for item, operation in zip(graph.operators, self.operations):
            if codes[item.opcodeIndex].is_custom:
                check_larq_operator(operation, self.tensors)
            else:
                check_operator(operation.name, item, types)

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
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    model.subgraphs[0].outputs = tensors
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(data) + 65536)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def unpack_signs(words: NDArray[np.int32], channels: int) -> NDArray[np.float32]:
    """Convert bits, `(..., ceil(channels / 32))`, to signs -1 and +1, `(..., channels)`."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    return 1 - 2 * bits[..., :channels].astype(np.float32)


def _tensor(tensor: schema.TensorT, buffers: list[schema.BufferT]) -> Tensor:
    shape = _indices(tensor.shape)
    dtype = _DTYPES.get(tensor.type)
    content = buffers[tensor.buffer].data
    constant = None
    if min(shape, default=0) < 0 or math.prod(shape) > 2**31:
        raise ValueError("impossible shape")
    has_content = content is not None and len(content) > 0
    if has_content and dtype is not None:
        constant = np.frombuffer(content.tobytes(), dtype).reshape(shape)
    return Tensor(
        name=(tensor.name or b"").decode(),
        shape=shape,
        dtype=dtype,
        constant=constant,
        has_content=has_content,
        is_variable=bool(tensor.isVariable),
    )


class _Code(NamedTuple):
    name: str
    is_custom: bool

    @classmethod
    def read(cls, code: schema.OperatorCodeT) -> _Code:
        # Files older than schema 3a hold the number only in the deprecated field.
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        if number == schema.BuiltinOperator.CUSTOM:
            return cls(str(code.customCode or b"", "utf-8"), True)
        return cls(_BUILTIN_NAMES[number], False)


def _operation(operator: schema.OperatorT, codes: list[_Code]) -> Operation:
    name, is_custom = codes[operator.opcodeIndex]
    options = None
    # The options of other custom operations may hold anything.
    if is_custom and name.startswith("Lce") and operator.customOptions is not None:
        options = operator.customOptions.tobytes()
    return Operation(
        name=name,
        inputs=_indices(operator.inputs),
        outputs=_indices(operator.outputs),
        options=read_options(options) if options else {},
    )


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)
