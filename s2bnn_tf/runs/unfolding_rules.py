"""How each kind of layer is found in a `.tflite`, and which weights the file gives it.

`s2bnn convert` leaves the order of a network's layers as it is, and what it does to their weights
is affine per channel: a normalization, the scale of a quantizer and a shift become part of the
convolution before them, or of a constant that is added. So a layer takes the constants of the
operation that makes its output, and what the file does to the sums of a convolution becomes the
scale and the shift of the normalization behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from s2bnn_tf.backbones import Recoupling, ReverseImage
from s2bnn_tf.data import channel_statistics
from s2bnn_tf.layers import BinaryConv2D, ChannelBias, RPReLU, RSign
from s2bnn_tf.runs.file_operations import FileOperations, MismatchError
from s2bnn_tf.runs.unfolding import Affine, Unfolding
from s2bnn_tf.tflite import BINARY_CONVOLUTION, Operation, unpack_signs

keras = tf.keras

# From a layer and the tensor that it makes to the tensors that it reads.
Rule = Callable[[Unfolding, keras.layers.Layer, int], Sequence[int]]

# The size of the latent weights, which the file does not hold: their mean after training.
_LATENT = 0.045
_BITS = 32  # signs in one word of a binary kernel
_NONE, _ONE = np.zeros(1, np.float32), np.ones(1, np.float32)


def without_reversal(operations: FileOperations, tensor: int) -> int:
    """A picture or a map before its axes were reversed, or itself if they were not."""
    while operations.is_made_by(tensor, "REVERSE_V2"):
        tensor = operations.made_by(tensor, "REVERSE_V2").inputs[0]
    return tensor


def _image(own: Unfolding, layer: keras.layers.InputLayer, tensor: int) -> Sequence[int]:
    """The picture, 0-255, normalized as the network expects it."""
    shift, tensor = own.operations.without_constant(tensor, "ADD")
    scale, tensor = own.operations.without_constant(tensor, "MUL")
    means, stds = (np.array(part) for part in channel_statistics(layer.output.shape[-1]))
    for found, expected in ((scale, 1 / (255 * stds)), (shift, -means / stds)):
        if found is None or not np.allclose(found, expected, rtol=1e-5):
            raise MismatchError("the picture is normalized in another way")
    if (without_reversal(own.operations, tensor),) != own.operations.graph.inputs:
        raise MismatchError("something else is done to the picture")
    return ()


def _normalization(
    own: Unfolding, layer: keras.layers.BatchNormalization, tensor: int
) -> Sequence[int]:
    shift, tensor = own.operations.without_constant(tensor, "ADD")
    scale, tensor = own.operations.without_constant(tensor, "MUL")
    own.set_norm(layer, Affine(_ONE if scale is None else scale, _NONE if shift is None else shift))
    return (tensor,)


def _convolution(own: Unfolding, layer: keras.layers.Conv2D, tensor: int) -> Sequence[int]:
    found = own.operations.made_by(_before_activation(own, layer, tensor), "CONV_2D")
    kernel = own.operations.constant(found, 1, rank=4)
    own.set(layer.kernel, np.transpose(kernel, (1, 2, 3, 0)))
    return _bias_and_input(own, layer, found, tensor)


def _depthwise(own: Unfolding, layer: keras.layers.DepthwiseConv2D, tensor: int) -> Sequence[int]:
    found = own.operations.made_by(_before_activation(own, layer, tensor), "DEPTHWISE_CONV_2D")
    kernel = own.operations.constant(found, 1, rank=4)
    own.set(layer.depthwise_kernel, np.transpose(kernel, (1, 2, 3, 0)))
    return _bias_and_input(own, layer, found, tensor)


def _bias_and_input(
    own: Unfolding, layer: keras.layers.Layer, found: Operation, tensor: int
) -> Sequence[int]:
    bias = own.operations.constant(found, 2, rank=1)
    if layer.use_bias:
        own.set(layer.bias, bias)
    elif np.any(bias):
        own.hand_on(layer, Affine(_ONE, bias))
    return _checked(own, layer, found.inputs[0], tensor)


def _binary_convolution(own: Unfolding, layer: BinaryConv2D, tensor: int) -> Sequence[int]:
    found = own.operations.made_by(_before_activation(own, layer, tensor), BINARY_CONVOLUTION)
    words = own.operations.constant(found, 1, np.int32, rank=4)
    channels = layer.kernel.shape[2]
    given = found.options["channels_in"], found.options["pad_values"], words.shape[-1]
    if given != (channels, layer.pad_values, -(-channels // _BITS)):
        raise MismatchError(f"{layer.name} has other channels or another padding")
    own.set(layer.kernel, _LATENT * np.transpose(unpack_signs(words, channels), (1, 2, 3, 0)))
    scale, shift = (own.operations.constant(found, place, rank=1) for place in (2, 3))
    own.hand_on(layer, Affine(scale / _size_of_weights(layer), shift))
    source = own.operations.made_by(found.inputs[0], "LceQuantize").inputs[0]
    if isinstance(layer.input_quantizer, RSign):
        threshold, source = own.shift_before(layer, source)
        own.set(layer.input_quantizer.bias, threshold)
    return _checked(own, layer, source, tensor)


def _size_of_weights(layer: BinaryConv2D) -> float:
    """The size of the weights that a layer computes with, when its latent ones have theirs."""
    latent = tf.fill(layer.kernel.shape, _LATENT)
    quantizer = layer.kernel_quantizer
    return float(tf.reduce_max(latent if quantizer is None else quantizer(latent)))


def _before_activation(own: Unfolding, layer: keras.layers.Layer, tensor: int) -> int:
    if layer.activation is keras.activations.relu:
        return own.operations.before_relu(tensor)
    if layer.activation is keras.activations.sigmoid:
        return own.operations.made_by(tensor, "LOGISTIC").inputs[0]
    return tensor


def _checked(own: Unfolding, layer: keras.layers.Layer, source: int, tensor: int) -> Sequence[int]:
    """The input of a layer, whose strides have to be those of the file, but for `restrided`."""
    shape = tuple(layer.compute_output_shape(own.operations.shape(source)))
    if shape != own.operations.shape(tensor) and layer.name not in own.restrided:
        raise MismatchError(f"{layer.name} has other strides")
    return (source,)


def _pooling(kind: str) -> Rule:
    def rule(own: Unfolding, layer: keras.layers.Layer, tensor: int) -> Sequence[int]:
        return _checked(own, layer, own.operations.made_by(tensor, kind).inputs[0], tensor)

    return rule


def _of_maps(kind: str) -> Rule:
    """An operation on several maps, without weights."""

    def rule(own: Unfolding, layer: keras.layers.Layer, tensor: int) -> Sequence[int]:
        return own.operations.maps(tensor, kind)

    return rule


def _rprelu(own: Unfolding, layer: RPReLU, tensor: int) -> Sequence[int]:
    shift, tensor = own.operations.without_constant(tensor, "ADD")
    own.set(layer.shift_out, _NONE if shift is None else shift)
    found = own.operations.made_by(tensor, "PRELU")
    own.set(layer.slope, own.operations.constant(found, 1))
    shift, source = own.shift_before(layer, found.inputs[0])
    own.set(layer.shift_in, shift)
    return (source,)


def _prelu(own: Unfolding, layer: keras.layers.PReLU, tensor: int) -> Sequence[int]:
    found = own.operations.made_by(tensor, "PRELU")
    own.set(layer.alpha, own.operations.constant(found, 1))
    return (found.inputs[0],)


def _relu(own: Unfolding, layer: keras.layers.ReLU, tensor: int) -> Sequence[int]:
    return (own.operations.before_relu(tensor),)


def _channel_bias(own: Unfolding, layer: ChannelBias, tensor: int) -> Sequence[int]:
    shift, source = own.shift_before(layer, tensor)
    own.set(layer.bias, shift)
    return (source,)


def _recoupling(own: Unfolding, layer: Recoupling, tensor: int) -> Sequence[int]:
    """Two means times their shares, of which the first is learned."""
    parts = [own.operations.without_constant(x, "MUL") for x in own.operations.maps(tensor, "ADD")]
    (share, before), (rest, after) = ((_ONE if x is None else x, source) for x, source in parts)
    if not np.allclose(share + rest, 1, atol=1e-5):
        raise MismatchError(f"{layer.name} does not mix two maps")
    own.set(layer.share, share)
    return before, after


def _reversal(own: Unfolding, layer: ReverseImage, tensor: int) -> Sequence[int]:
    return (tensor,)  # in the file it comes before the picture is normalized


RULES: dict[type[keras.layers.Layer], Rule] = {
    keras.layers.InputLayer: _image,
    keras.layers.BatchNormalization: _normalization,
    keras.layers.Conv2D: _convolution,
    keras.layers.DepthwiseConv2D: _depthwise,
    keras.layers.AveragePooling2D: _pooling("AVERAGE_POOL_2D"),
    keras.layers.MaxPooling2D: _pooling("MAX_POOL_2D"),
    keras.layers.GlobalAveragePooling2D: _pooling("MEAN"),
    keras.layers.Add: _of_maps("ADD"),
    keras.layers.Multiply: _of_maps("MUL"),
    keras.layers.Concatenate: _of_maps("CONCATENATION"),
    keras.layers.PReLU: _prelu,
    keras.layers.ReLU: _relu,
    BinaryConv2D: _binary_convolution,
    ChannelBias: _channel_bias,
    RPReLU: _rprelu,
    Recoupling: _recoupling,
    ReverseImage: _reversal,
}
