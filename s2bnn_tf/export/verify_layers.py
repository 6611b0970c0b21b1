"""Check each binary convolution of a `.tflite` by itself, against the layer it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.errors import ParityError
from s2bnn_tf.export.verify_signs import LARGE
from s2bnn_tf.layers import ChannelBias, is_binary, leaf_layers
from s2bnn_tf.tflite import Operation, TFLiteGraph, filter_exceeds_input, unpack_signs

keras = tf.keras

# The largest error of one layer, relative to the sum of the magnitudes that it adds up: a few
# float32 roundings (2**-24 each) of filter scale, BatchNormalization and their product. One
# wrong bit of a filter of K taps is an error of 2 / K, which is 4e-4 or more.
TOLERANCE = 16 * 2.0**-24

# The layers that the converter may fuse into a binary convolution, in the order of the network.
_FUSIBLE = (
    keras.layers.BatchNormalization,
    keras.layers.ReLU,
    keras.layers.Activation,
    ChannelBias,
)
_SMALLEST_MAGNITUDE = 1e-20  # of a dead channel, so that zero divided by zero is no error
# If the magnitudes in one channel differ by more than this fraction, Larq Compute Engine keeps
# the layer in float.
_LARGEST_SPREAD = 0.005


@dataclass(frozen=True)
class BinaryPair:
    """A binary convolution of the file, and the Keras layer it was made from."""

    operation: Operation
    layer: lq.layers.QuantConv2D  # of the encoder, with its quantizers
    deployed: lq.layers.QuantConv2D  # of the deployment network, frozen

    def signs(self, words: NDArray[np.int32]) -> NDArray[np.float32]:
        """The file's input bits as -1 and +1, `(B, H, W, C)`."""
        return unpack_signs(words, self.layer.input_shape[-1])


def pair_layers(
    graph: TFLiteGraph, backbone: keras.Model, deployed: keras.Model
) -> list[BinaryPair]:
    """Find the operation in the file for each binary convolution of a network.

    An operation is paired with the layer whose filter differs in the fewest bits, so that
    a damaged filter is still recognized by the rest of it.

    Args:
        graph: The file.
        backbone: The backbone of the encoder.
        deployed: The frozen backbone of its deployment network.

    Raises:
        ParityError: If a binary convolution stayed float.
    """
    layers = [
        pair for pair in zip(leaf_layers(backbone), leaf_layers(deployed)) if is_binary(pair[0])
    ]
    filters = {source.name: _filter_bits(copy) for source, copy in layers}
    pairs = []
    for operation in graph.binary_convolutions():
        words = graph.tensors[operation.inputs[1]].constant
        shape = graph.tensors[operation.inputs[1]].shape
        alike = [pair for pair in layers if filters[pair[0].name].shape == shape]
        if words is None or not alike:
            continue  # made from a layer that does not count as binary in Keras, which is fine
        best = min(alike, key=lambda pair: _distance(filters[pair[0].name], words))
        layers.remove(best)
        pairs.append(BinaryPair(operation, *best))
    if layers:
        layer, copy = layers[0]
        raise ParityError(
            f"{len(layers)} of {len(layers) + len(pairs)} binary convolutions stayed float, the "
            f"first is {layer.name!r}: {_why_float(copy)}."
        )
    return pairs


def layer_error(
    pair: BinaryPair, words: NDArray[np.int32], output: NDArray[Any], channels: int
) -> float:
    """Measure how far the file's output is from the Keras layer's, given the same input bits.

    Args:
        pair: The operation and its layer.
        words: The bits that the operation read, int32 `(B, H, W, ceil(C / 32))`.
        output: The output of the operation: float32 `(B, H', W', O)`, or bits again.
        channels: The number of output channels O.

    Returns:
        The largest error relative to the sum of the magnitudes added up in that channel,
        for the best match among the layers that the converter may have fused.
    """
    errors = []
    for expected, bounds in zip(
        _fused_outputs(pair.deployed, _linear_output(pair, words)),
        _fused_outputs(pair.deployed, _extremes(pair.layer)),
    ):
        magnitude = np.abs(bounds).max(axis=(0, 1, 2)) + _SMALLEST_MAGNITUDE
        if output.dtype == np.int32:
            wrong = unpack_signs(output, channels) != np.where(expected < 0, -1, 1)
            error = np.where(wrong, np.abs(expected), 0)
        else:
            error = np.abs(output.astype(np.float64) - expected)
        errors.append(float((error / magnitude).max()))
    return min(errors)


def explain(graph: TFLiteGraph, pair: BinaryPair, kernel: str, error: float) -> str:
    """Describe in one sentence a layer that is computed wrongly, with a way out if one is known."""
    name = pair.layer.name
    if kernel != "reference" and filter_exceeds_input(graph, pair.operation):
        height, width = graph.tensors[pair.operation.inputs[0]].shape[1:3]
        return (
            f"Larq Compute Engine's {kernel} kernel computes {name!r} wrongly, because its "
            f"zero-padded {'x'.join(map(str, pair.layer.kernel_size))} filter is larger than "
            f"its {height}x{width} input: choose a larger image_size or a stem that strides less."
        )
    return (
        f"The binary convolution {name!r} of the file differs from the network's by {error:.1e} "
        f"of the magnitudes it sums ({kernel} kernel, at most {TOLERANCE:.1e} is rounding): "
        "convert again, and report it if it happens again."
    )


def _linear_output(pair: BinaryPair, words: NDArray[np.int32]) -> tf.Tensor:
    """The output of the Keras layer before its activation, for the bits that the file read."""
    # The encoder's own layer, with its quantizers: a mistake in freezing is found here, too.
    with (
        lq.utils.patch_object(pair.layer, "activation", keras.activations.linear),
        lq.utils.patch_object(pair.layer, "convolution_op", _summing_units(pair.layer)),
    ):
        return pair.layer(tf.constant(LARGE * pair.signs(words)))


def _extremes(layer: lq.layers.QuantConv2D) -> tf.Tensor:
    """The largest, the smallest and the middle linear output possible, `(3, 1, 1, O)`."""
    kernel = layer.kernel_quantizer(_latent_kernel(layer))
    reach = tf.reduce_sum(tf.abs(kernel), axis=(0, 1, 2))[None, None, None]
    if layer.use_bias:
        reach += tf.abs(layer.bias)
    return tf.concat([reach, -reach, tf.zeros_like(reach)], axis=0)


def _summing_units(
    layer: lq.layers.QuantConv2D,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The convolution of a layer with a binary kernel, rounded only once.

    Sums of -1 and +1 are whole numbers, exact in float32. A float32 sum of thousands of scales,
    most of one sign, is off by more than the tolerance.
    """
    convolve = layer.convolution_op

    def convolve_units(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        kernel = tf.convert_to_tensor(kernel)
        scale = tf.reduce_max(tf.abs(kernel), axis=(0, 1, 2))
        return convolve(inputs, tf.math.divide_no_nan(kernel, scale)) * scale

    return convolve_units


def _fused_outputs(layer: keras.layers.Layer, outputs: tf.Tensor) -> Iterator[NDArray[np.float32]]:
    """The linear output of a layer, then its activation, and each layer that may be fused."""
    yield outputs.numpy()
    outputs = layer.activation(outputs)
    while True:
        yield outputs.numpy()
        readers = list(dict.fromkeys(node.outbound_layer for node in layer.outbound_nodes))
        if len(readers) != 1 or not isinstance(readers[0], _FUSIBLE):
            return
        layer = readers[0]
        outputs = layer(outputs)


def _filter_bits(layer: lq.layers.QuantConv2D) -> NDArray[np.int32]:
    """A frozen kernel (kh, kw, C, O) as the file holds it: bits, int32 (O, kh, kw, words)."""
    negative = np.moveaxis(layer.kernel.numpy() < 0, -1, 0)
    tail = -negative.shape[-1] % 32
    padded = np.pad(negative, [(0, 0)] * 3 + [(0, tail)])
    packed = np.packbits(padded, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view(np.int32)


def _distance(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """The number of bits that differ."""
    return int(np.unpackbits((a ^ b).view(np.uint8)).sum())


def _latent_kernel(layer: lq.layers.QuantConv2D) -> tf.Tensor:
    """The kernel before its quantizer."""
    with lq.context.quantized_scope(False):
        return tf.convert_to_tensor(layer.kernel)


def _why_float(layer: lq.layers.QuantConv2D) -> str:
    """Why the converter did not make a frozen layer binary, if the reason is known."""
    magnitudes = np.abs(layer.kernel.numpy()).reshape(-1, layer.filters)
    smallest, largest = magnitudes.min(axis=0), magnitudes.max(axis=0)
    if (largest == 0).any():
        return f"its channel {largest.argmin()} is dead (all weights are zero)"
    spread = (largest - smallest) / largest
    if spread.max() > _LARGEST_SPREAD:
        return (
            f"the magnitudes in its channel {spread.argmax()} differ by {100 * spread.max():.1f} "
            f"%, and only up to {100 * _LARGEST_SPREAD} % count as binary: use a kernel quantizer "
            "with one scale per channel"
        )
    if layer.padding == "same" and float(layer.pad_values) not in (0.0, 1.0):
        return f"it is padded with {layer.pad_values}, and only 0 and 1 can be: change pad_values"
    return "Larq Compute Engine did not recognize it"
