"""Builds small `.tflite` files op by op, so that tests reach all options, even those that no
converter writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
    "bool": schema.TensorType.BOOL,
}
PADDING = {"SAME": 0, "VALID": 1}
ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}


def words_of(channels: int) -> int:
    return (channels + 31) // 32


def pack_bits(values: np.ndarray) -> np.ndarray:
    """Pack (..., C) numbers into (..., ceil(C / 32)) int32 words. A bit is set if the value is
    negative.
    """
    channels = values.shape[-1]
    padded = np.zeros((*values.shape[:-1], words_of(channels) * 32), np.uint8)
    padded[..., :channels] = values < 0
    return np.packbits(padded, axis=-1, bitorder="little").view(np.int32)


@dataclass
class Graph:
    """A model under construction. Tensors are numbers; methods return the number of the tensor
    that they add.
    """

    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])
    codes: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)

    def tensor(self, shape, dtype="float32", *, scale=None, zero_point=0) -> int:
        tensor = schema.TensorT()
        tensor.name = f"tensor{len(self.tensors)}"
        tensor.shape = list(shape)
        tensor.type = TYPES[dtype]
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [scale]
            tensor.quantization.zeroPoint = [zero_point]
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, value: np.ndarray) -> int:
        index = self.tensor(value.shape, str(value.dtype))
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.tensors[index].buffer = len(self.buffers)
        self.buffers.append(buffer)
        return index

    def custom(
        self, name: str, inputs, output: int, options: dict[str, int] | bytes | None = None
    ) -> int:
        code = schema.OperatorCodeT()
        code.builtinCode = schema.BuiltinOperator.CUSTOM
        code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = name
        operator = self._operator(code, inputs, output)
        if options is not None:
            raw = options if isinstance(options, bytes) else flexbuffers.Dumps(options)
            operator.customOptions = np.frombuffer(raw, np.uint8)
        return output

    def builtin(self, name: str, inputs, output: int, options: Any = None) -> int:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = code.builtinCode
        operator = self._operator(code, inputs, output)
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(
                schema.BuiltinOptions, type(options).__name__[:-1]
            )
        return output

    def _operator(self, code, inputs, output: int):
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.codes)
        operator.inputs = list(inputs)
        operator.outputs = [output]
        self.codes.append(code)
        self.operators.append(operator)
        return operator

    def build(self, inputs, outputs) -> bytes:
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version = 3
        model.subgraphs, model.operatorCodes, model.buffers = [subgraph], self.codes, self.buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


@dataclass(frozen=True)
class Bconv:
    """One binary convolution with all options of its definition."""

    batch: int = 1
    height: int = 5
    width: int = 6
    channels_in: int = 64
    channels_out: int = 32
    filter: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "SAME"
    pad_value: int = 0
    activation: str = "none"
    groups: int = 1
    output: str = "float32"  # float32, int8 or bits
    seed: int = 0

    def weights(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        group_channels = self.channels_in // self.groups
        products = self.filter[0] * self.filter[1] * group_channels
        return {
            "filter": rng.choice([-1.0, 1.0], (self.channels_out, *self.filter, group_channels)),
            "multiplier": rng.normal(0, 0.05, self.channels_out).astype(np.float32),
            "bias": rng.normal(0, 1, self.channels_out).astype(np.float32),
            "thresholds": rng.integers(
                products // 4, 3 * products // 4 + 1, self.channels_out, dtype=np.int32
            ),
        }

    def input(self) -> np.ndarray:
        """(batch, height, width, channels_in) of +1 and -1."""
        rng = np.random.default_rng(self.seed + 1)
        return rng.choice([-1.0, 1.0], (self.batch, self.height, self.width, self.channels_in))

    @property
    def options(self) -> dict[str, int]:
        return {
            "channels_in": self.channels_in,
            "stride_height": self.stride[0],
            "stride_width": self.stride[1],
            "dilation_height_factor": self.dilation[0],
            "dilation_width_factor": self.dilation[1],
            "padding": PADDING[self.padding],
            "pad_values": self.pad_value,
            "fused_activation_function": ACTIVATIONS[self.activation],
        }

    @property
    def fits(self) -> bool:
        """Whether the dilated filter is no larger than the input."""
        extents = [(f - 1) * d + 1 for f, d in zip(self.filter, self.dilation)]
        return extents[0] <= self.height and extents[1] <= self.width

    def output_size(self) -> tuple[int, int]:
        sizes = []
        for size, f, s, d in zip(
            (self.height, self.width), self.filter, self.stride, self.dilation
        ):
            covered = size if self.padding == "SAME" else size - (f - 1) * d
            sizes.append(-(-covered // s))
        return sizes[0], sizes[1]

    def add_to(self, graph: Graph, x: int) -> int:
        weights = self.weights()
        bits = self.output == "bits"
        channels = words_of(self.channels_out) if bits else self.channels_out
        quantization = {"scale": 0.04, "zero_point": -7} if self.output == "int8" else {}
        y = graph.tensor(
            (self.batch, *self.output_size(), channels),
            "int32" if bits else self.output,
            **quantization,
        )
        inputs = [x, graph.constant(pack_bits(weights["filter"]))]
        inputs += (
            [-1, -1]
            if bits
            else [graph.constant(weights["multiplier"]), graph.constant(weights["bias"])]
        )
        inputs += [graph.constant(weights["thresholds"])] if bits else [-1]
        return graph.custom("LceBconv2d", inputs, y, self.options)

    def model(self) -> bytes:
        """A model with bits as its input and the convolution's output as its output."""
        graph = Graph()
        x = graph.tensor((self.batch, self.height, self.width, words_of(self.channels_in)), "int32")
        return graph.build([x], [self.add_to(graph, x)])
