"""8-bit weights for the dense layers of a head: a quarter of their bytes, computed in float.

The weights are rounded in the network, before it is converted: what is verified is then the
rounded network, as sharply as any other, and the price of rounding is measured by itself. In
the file the weights are int8, and one DEQUANTIZE, which TensorFlow Lite runs once, makes of
them the very floats that the network has.
"""

from __future__ import annotations

import flatbuffers
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.backbones import Encoder

keras = tf.keras

_LARGEST = 127


def round_to_8_bits(kernel: np.ndarray) -> np.ndarray:
    """Round each column of a kernel `(C, K)` to whole multiples, at most 127, of its own scale.

    A column of zeros stays as it is. The error of a weight is at most half a scale, 1/254 of the
    largest weight of its column.
    """
    scale = _scales(kernel)
    return (np.round(kernel / scale) * scale).astype(np.float32)


def with_rounded_head(encoder: Encoder) -> Encoder:
    """The encoder with the kernels of its head's dense layers rounded; the backbone is shared."""
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
        model: Converted from a network whose dense kernels are rounded (`round_to_8_bits`).

    Returns:
        The same network in fewer bytes: each such weight is followed by a DEQUANTIZE.
    """
    flat = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    graph = flat.subgraphs[0]
    dequantizers = []
    for operator in graph.operators:
        if _code(flat, operator) != schema.BuiltinOperator.FULLY_CONNECTED:
            continue
        weights = graph.tensors[operator.inputs[1]]
        content = flat.buffers[weights.buffer].data
        if weights.type != schema.TensorType.FLOAT32 or content is None:
            continue
        kernel = np.frombuffer(content.tobytes(), np.float32).reshape(weights.shape)  # (K, C)
        dequantizers.append(_dequantizer(flat, int(operator.inputs[1]), kernel))
        operator.inputs = [operator.inputs[0], dequantizers[-1].outputs[0], *operator.inputs[2:]]
    if not dequantizers:
        return model
    graph.operators = [*dequantizers, *graph.operators]
    used = {entry.buffer for entry in [*graph.tensors, *(flat.metadata or [])]}
    for number, buffer in enumerate(flat.buffers):
        if number not in used:
            buffer.data = None
    builder = flatbuffers.Builder(len(model))
    builder.Finish(flat.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _dequantizer(flat, index: int, kernel: np.ndarray):
    """Turn a weight into int8, and make the operation that makes floats of it again."""
    graph = flat.subgraphs[0]
    scales = _scales(kernel.T)[0]  # one a row of (K, C)
    weights = graph.tensors[index]
    floats = schema.TensorT()
    floats.name, floats.shape, floats.type = weights.name + b"/float", weights.shape, weights.type
    graph.tensors.append(floats)

    steps = np.round(kernel / scales[:, np.newaxis]).astype(np.int8)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(steps.tobytes(), np.uint8)
    flat.buffers.append(buffer)
    weights.buffer, weights.type = len(flat.buffers) - 1, schema.TensorType.INT8
    weights.quantization = schema.QuantizationParametersT()
    weights.quantization.scale = scales.astype(np.float32)
    weights.quantization.zeroPoint = np.zeros(len(scales), np.int64)
    weights.quantization.quantizedDimension = 0

    operator = schema.OperatorT()
    operator.opcodeIndex = _dequantize_code(flat)
    operator.inputs, operator.outputs = [index], [len(graph.tensors) - 1]
    return operator


def _dequantize_code(flat) -> int:
    wanted = schema.BuiltinOperator.DEQUANTIZE
    for index, code in enumerate(flat.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = wanted
    code.version = 5  # one scale a channel
    flat.operatorCodes.append(code)
    return len(flat.operatorCodes) - 1


def _code(flat, operator) -> int:
    code = flat.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def _scales(kernel: np.ndarray) -> np.ndarray:
    """The step of each column of a kernel (C, K): float32 (1, K), 1 for a column of zeros."""
    largest = np.abs(kernel).max(axis=0, keepdims=True).astype(np.float32)
    return np.where(largest > 0, largest / np.float32(_LARGEST), np.float32(1))
