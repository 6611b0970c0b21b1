"""8-bit weights for the dense layers of a head: a quarter of the bytes, computed in float.

The weights are rounded in the network before it is converted. So verification compares the
rounded network, as strictly as any other, and the cost of rounding is measured separately. In
the file the weights are int8, followed by a DEQUANTIZE operation, which TensorFlow Lite runs once
and which gives exactly the floats that the rounded network has.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.tflite import Table, read_tables, write_tables

keras = tf.keras

_LARGEST = 127
# Numbers of the enumerations BuiltinOperator and TensorType of TensorFlow Lite's schema
_DEQUANTIZE, _FULLY_CONNECTED = 6, 9
_FLOAT32, _INT8 = 0, 9


def round_to_8_bits(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round each column of a kernel `(C, K)` to whole multiples, at most 127, of its own scale.

    A column of zeros stays as it is. The error of a weight is at most half a scale, which is
    1/254 of the largest weight of its column.
    """
    scale = _scales(kernel)
    rounded: NDArray[np.float32] = (np.round(kernel / scale) * scale).astype(np.float32)
    return rounded


def with_rounded_head(encoder: Encoder) -> Encoder:
    """Return the encoder with the kernels of its head's dense layers rounded to 8 bits.

    The backbone is shared, and the head is a copy. Without a head it is the encoder itself.
    """
    if encoder.head is None:
        return encoder
    head = keras.models.clone_model(encoder.head)
    head.set_weights(encoder.head.get_weights())
    for layer in head.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.kernel.assign(round_to_8_bits(layer.kernel.numpy()))
    return Encoder(encoder.backbone, head)


def store_8_bit_weights(model: bytes) -> bytes:
    """Store the weights of every fully connected operation of a `.tflite` as int8.

    Args:
        model: A `.tflite` of a network whose dense kernels are rounded (`round_to_8_bits`).

    Returns:
        The same network in fewer bytes. Each of these weights is followed by a DEQUANTIZE.
    """
    flat = read_tables(model)
    (graph,) = flat.tables("subgraphs")
    dequantizers = []
    for operator in graph.tables("operators"):
        if _operation_code(flat, operator) != _FULLY_CONNECTED:
            continue
        inputs = operator.vector("inputs").copy()
        weights = graph.tables("tensors")[inputs[1]]
        content = flat.tables("buffers")[weights.number("buffer")].vector("data")
        if weights.number("type") != _FLOAT32 or len(content) == 0:
            continue
        kernel = content.view(np.float32).reshape(weights.vector("shape"))  # (K, C)
        dequantizers.append(_quantize_weights(flat, int(inputs[1]), kernel))
        (inputs[1],) = dequantizers[-1].vector("outputs")
        operator.set("inputs", inputs)
    if not dequantizers:
        return model
    graph.set("operators", [*dequantizers, *graph.tables("operators")])
    metadata = flat.tables("metadata") if flat.has("metadata") else []
    used = {entry.number("buffer") for entry in [*graph.tables("tensors"), *metadata]}
    for number, buffer in enumerate(flat.tables("buffers")):
        if number not in used:
            buffer.remove("data")
    return write_tables(flat)


def _quantize_weights(flat: Table, index: int, kernel: NDArray[np.float32]) -> Table:
    """Make a weight tensor int8, and return the operation that turns it into floats again."""
    tensors = flat.tables("subgraphs")[0].tables("tensors")
    scales = _scales(kernel.T)[0]  # one per row of (K, C)
    weights, floats = tensors[index], Table("Tensor")
    floats.set("name", weights.vector("name").tobytes() + b"/float")
    floats.set("shape", weights.vector("shape"))
    floats.set("type", weights.number("type"))
    tensors.append(floats)

    buffer = Table("Buffer")
    buffer.set("data", np.round(kernel / scales[:, np.newaxis]).astype(np.int8).tobytes())
    flat.tables("buffers").append(buffer)
    weights.set("buffer", len(flat.tables("buffers")) - 1)
    weights.set("type", _INT8)
    quantization = Table("QuantizationParameters")
    quantization.set("scale", scales)
    quantization.set("zero_point", np.zeros(len(scales)))
    quantization.set("quantized_dimension", 0)
    weights.set("quantization", quantization)

    operator = Table("Operator")
    operator.set("opcode_index", _dequantize_index(flat))
    operator.set("inputs", [index])
    operator.set("outputs", [len(tensors) - 1])
    return operator


def _dequantize_index(flat: Table) -> int:
    """The index of DEQUANTIZE among the model's operation codes; it is added if it is missing."""
    codes = flat.tables("operator_codes")
    for index, code in enumerate(codes):
        if _code(code) == _DEQUANTIZE:
            return index
    code = Table("OperatorCode")
    code.set("builtin_code", _DEQUANTIZE)
    code.set("deprecated_builtin_code", _DEQUANTIZE)
    code.set("version", 5)  # the first with one scale per channel
    codes.append(code)
    return len(codes) - 1


def _operation_code(flat: Table, operator: Table) -> int:
    return _code(flat.tables("operator_codes")[operator.number("opcode_index")])


def _code(code: Table) -> int:
    return max(code.number("builtin_code"), code.number("deprecated_builtin_code"))


def _scales(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """The step of each column of a kernel (C, K): float32 (1, K), 1 for a column of zeros."""
    largest = np.abs(kernel).max(axis=0, keepdims=True).astype(np.float32)
    return np.where(largest > 0, largest / np.float32(_LARGEST), np.float32(1))
