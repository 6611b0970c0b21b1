"""Copies of Keras models: in float32, and with their weights quantized once and for all."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from s2bnn_tf.backbones import Encoder, reverses_image
from s2bnn_tf.errors import ModelError
from s2bnn_tf.layers import is_binary, leaf_layers

keras = tf.keras

_WEIGHT_QUANTIZERS = {
    "kernel_quantizer": "kernel",
    "depthwise_quantizer": "depthwise_kernel",
    "pointwise_quantizer": "pointwise_kernel",
}
# Larq Compute Engine takes a smaller scale for zero, and then keeps the whole layer in float.
_SMALLEST_SCALE = 1e-6


def in_float32(encoder: Encoder) -> Encoder:
    """Return the encoder itself if it is all float32, and a copy in float32 otherwise.

    Raises:
        ModelError: If a part of it is not a functional model.
    """
    policies = {layer.dtype_policy.compute_dtype for layer in leaf_layers(encoder.backbone)}
    if encoder.head is not None:
        policies |= {layer.dtype_policy.compute_dtype for layer in leaf_layers(encoder.head)}
    if policies <= {"float32"}:
        return encoder
    parts = []
    for part in (encoder.backbone, encoder.head):
        copy = None if part is None else _clone(part, _float32_layer)
        if part is not None and copy is not None:
            copy.set_weights(part.get_weights())
        parts.append(copy)
    return Encoder(*parts)


def frozen_copy(model: keras.Model) -> keras.Model:
    """Copy a float32 model, and replace each quantized weight by the result of its quantizer.

    A layer that reverses the image first is left out, because `deployment_model` does that
    before it normalizes the image.

    Raises:
        ModelError: If it is not a functional model.
    """
    left_out = model.layers[1].name if reverses_image(model) else None

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name == left_out:
            return keras.layers.Activation("linear", name=left_out)
        return _frozen_layer(layer)

    copy = _clone(model, clone)
    copy.set_weights(model.get_weights())
    for source, target in zip(leaf_layers(model), leaf_layers(copy)):
        for attribute, name in _WEIGHT_QUANTIZERS.items():
            quantizer = getattr(source, attribute, None)
            if quantizer is not None:
                weight = getattr(target, name)
                weight.assign(quantizer(weight.value()))
        if is_binary(source):
            _revive_dead_channels(target)
    return copy


def _revive_dead_channels(layer: lq.layers.QuantConv2D) -> None:
    """Where a channel's scale is (nearly) zero, move it from the kernel behind the convolution.

    There the converter makes it part of the multiplier of the same binary convolution.
    """
    kernel = layer.kernel.numpy()
    scale = np.abs(kernel).max(axis=(0, 1, 2))
    dead = scale < _SMALLEST_SCALE
    if not dead.any():
        return
    layer.kernel.assign(np.where(dead, np.where(kernel < 0, -1, 1), kernel))
    multiplier = tf.constant(np.where(dead, scale, 1), tf.float32)
    convolve = layer.convolution_op
    layer.convolution_op = lambda inputs, kernel: convolve(inputs, kernel) * multiplier


def _clone(
    model: keras.Model, clone_layer: Callable[[keras.layers.Layer], keras.layers.Layer]
) -> keras.Model:
    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.Model):
            return _clone(layer, clone_layer)
        return clone_layer(layer)

    try:
        with warnings.catch_warnings():
            # Larq Zoo initializes the blur of QuickNet with a function, and Keras warns about it.
            warnings.filterwarnings("ignore", "The `keras.initializers.serialize")
            return keras.models.clone_model(model, clone_function=clone)
    except TypeError as error:
        raise ModelError(
            f"A layer of {model.name!r} cannot be copied: give its class a get_config() and "
            "the decorator keras.saving.register_keras_serializable()."
        ) from error
    except ValueError as error:
        raise ModelError(
            f"{model.name!r} cannot be converted because it is not a functional Keras model: "
            "build it with keras.Model(inputs, outputs)."
        ) from error


def _float32_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    return type(layer).from_config(_with_float32(layer.get_config()))


def _frozen_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    copy = _float32_layer(layer)
    for attribute in _WEIGHT_QUANTIZERS:
        if getattr(copy, attribute, None) is not None:
            setattr(copy, attribute, None)
    return copy


def _with_float32(config: Any) -> Any:
    """Set every dtype in a layer's configuration, and in those of its quantizers, to float32."""
    if isinstance(config, dict):
        return {
            key: "float32" if key == "dtype" else _with_float32(value)
            for key, value in config.items()
        }
    return config
