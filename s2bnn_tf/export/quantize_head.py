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
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.export.repack import repack

keras = tf.keras

_LARGEST = 127


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
    flat = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    graph = flat.subgraphs[0]
    dequantizers = []
    for operator in graph.operators:
        if _operation_code(flat, operator) != schema.BuiltinOperator.FULLY_CONNECTED:
            continue
        weights = graph.tensors[operator.inputs[1]]
        content = flat.buffers[weights.buffer].data
        if weights.type != schema.TensorType.FLOAT32 or content is None:
            continue
        kernel = np.frombuffer(content.tobytes(), np.float32).reshape(weights.shape)  # (K, C)
        dequantizers.append(_quantize_weights(flat, int(operator.inputs[1]), kernel))
        operator.inputs = [operator.inputs[0], dequantizers[-1].outputs[0], *operator.inputs[2:]]
    if not dequantizers:
        return model
    graph.operators = [*dequantizers, *graph.operators]
    used = {entry.buffer for entry in [*graph.tensors, *(flat.metadata or [])]}
    for number, buffer in enumerate(flat.buffers):
        if number not in used:
            buffer.data = None
    return repack(flat)


def _quantize_weights(
    flat: schema.ModelT, index: int, kernel: NDArray[np.float32]
) -> schema.OperatorT:
    """Make a weight tensor int8, and return the operation that turns it into floats again."""
    graph = flat.subgraphs[0]
    scales = _scales(kernel.T)[0]  # one per row of (K, C)
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
    operator.opcodeIndex = _dequantize_index(flat)
    operator.inputs, operator.outputs = [index], [len(graph.tensors) - 1]
    return operator


def _dequantize_index(flat: schema.ModelT) -> int:
    """The index of DEQUANTIZE among the model's operation codes; it is added if it is missing."""
    wanted = schema.BuiltinOperator.DEQUANTIZE
    for index, code in enumerate(flat.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = wanted
    code.version = 5  # the first with one scale per channel
    flat.operatorCodes.append(code)
    return len(flat.operatorCodes) - 1


def _operation_code(flat: schema.ModelT, operator: schema.OperatorT) -> int:
    code = flat.operatorCodes[operator.opcodeIndex]
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def _scales(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """The step of each column of a kernel (C, K): float32 (1, K), 1 for a column of zeros."""
    largest = np.abs(kernel).max(axis=0, keepdims=True).astype(np.float32)
    return np.where(largest > 0, largest / np.float32(_LARGEST), np.float32(1))
