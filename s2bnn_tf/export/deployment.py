"""The network to deploy: frozen, in float32, from RGB 0-255, with its shifts folded away."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import larq as lq
import numpy as np
import tensorflow as tf

from s2bnn_tf.backbones import Encoder, ReverseImage
from s2bnn_tf.data import IMAGENET_MEAN, IMAGENET_STD
from s2bnn_tf.errors import UserError
from s2bnn_tf.export.fold import fold_shifts
from s2bnn_tf.layers import is_binary, leaf_layers
from s2bnn_tf.tflite import OUTPUT_NAMES

keras = tf.keras

# Kernel and bias of a linear classifier, (C, K) and (K,).
Probe = tuple[np.ndarray, np.ndarray]

_WEIGHT_QUANTIZERS = {
    "kernel_quantizer": "kernel",
    "depthwise_quantizer": "depthwise_kernel",
    "pointwise_quantizer": "pointwise_kernel",
}
# Larq Compute Engine takes a smaller scale for zero, and then keeps the whole layer in float.
_SMALLEST_SCALE = 1e-6


def deployment_model(
    encoder: Encoder,
    image_size: int,
    head: str = "none",
    probe: Probe | None = None,
    *,
    fold: bool = True,
) -> keras.Model:
    """The network that goes into the file. The encoder itself stays as it is.

    - Weights are what their quantizers make of them: plain constants, no quantizer is left.
    - Everything is float32, whatever the policy under which it was trained.
    - Images are normalized inside, by a multiply-add of its own. Folded into a zero-padded
      convolution it would change the borders.
    - A network that begins by turning the image gets it turned before it is normalized: the
      same bits, and nothing stands between normalization and the first convolution.
    - The shifts around RPReLU are folded into their neighbors (`fold_shifts`).

    Args:
        encoder: Normalized images to embeddings.
        image_size: Pixels S of the square input.
        head: `"none"`: pooled features; `"projection"`: embeddings of unit length;
            `"linear"`: logits of `probe`.
        probe: Kernel `(C, K)` and bias `(K,)`.
        fold: Whether shifts are folded.

    Returns:
        A Keras model, RGB images 0-255, float32 `(1, S, S, 3)`, to `(1, C)`. Its layer
        with the name of the encoder's backbone is the frozen backbone.

    Raises:
        UserError: if the encoder takes another size, lacks the head, is not a functional
            model, or the probe does not fit.
    """
    _check(encoder, image_size, head, probe)
    encoder = in_float32(encoder)
    backbone = frozen_copy(encoder.backbone)
    if fold:
        fold_shifts(backbone)
    image = keras.Input((image_size, image_size, 3), 1, name="image", dtype="float32")
    x = image
    if _turns_image(encoder.backbone):
        x = ReverseImage(name="reverse_image", dtype="float32")(x)
    x = keras.layers.Rescaling(
        [1 / (255 * std) for std in IMAGENET_STD],
        [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD)],
        name="normalize",
        dtype="float32",
    )(x)
    x = backbone(x)
    if head == "projection" and encoder.head is not None:
        x = frozen_copy(encoder.head)(x)
    elif head == "linear" and probe is not None:
        classifier = keras.layers.Dense(probe[0].shape[1], name="linear", dtype="float32")
        classifier.build(x.shape)
        classifier.set_weights(list(probe))
        x = classifier(x)
    if head == "projection":
        x = keras.layers.UnitNormalization(name="unit_length", dtype="float32")(x)
    return keras.Model(image, x, name="deployed")


def frozen_copy(model: keras.Model) -> keras.Model:
    """A copy of a float32 model whose weights are what their quantizers make of them.

    A turn of the image, which `deployment_model` makes, is left out.
    """
    left_out = model.layers[1].name if _turns_image(model) else None

    def clone(layer):
        if layer.name == left_out:
            return keras.layers.Activation("linear", name=left_out)
        return _frozen(layer)

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


def _turns_image(model: keras.Model) -> bool:
    """Whether a model reads its image through a `ReverseImage` alone."""
    if len(model.layers) < 2 or not isinstance(model.layers[1], ReverseImage):
        return False
    readers = {node.outbound_layer for node in model.layers[0].outbound_nodes}
    return readers == {model.layers[1]}


def _revive_dead_channels(layer: lq.layers.QuantConv2D) -> None:
    """Move the scale of channels that are zero, or nearly, from the kernel behind the convolution.

    There the converter makes it a part of the multiplier of the same binary convolution.
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


def in_float32(encoder: Encoder) -> Encoder:
    """The encoder itself if it is all float32, otherwise a copy that is.

    Raises:
        UserError: if a part of it is not a functional model.
    """
    policies = {layer.dtype_policy.compute_dtype for layer in leaf_layers(encoder.backbone)}
    if encoder.head is not None:
        policies |= {layer.dtype_policy.compute_dtype for layer in leaf_layers(encoder.head)}
    if policies <= {"float32"}:
        return encoder
    parts = []
    for part in (encoder.backbone, encoder.head):
        copy = None if part is None else _clone(part, _float32)
        if part is not None and copy is not None:
            copy.set_weights(part.get_weights())
        parts.append(copy)
    return Encoder(*parts)


def _check(encoder: Encoder, image_size: int, head: str, probe: Probe | None) -> None:
    expected = encoder.backbone.input_shape[1:3]
    if not all(size in (None, image_size) for size in expected):
        raise UserError(
            f"The encoder was built for images of {expected[0]}x{expected[1]} pixels and cannot "
            f"be converted for {image_size}; build it with that image_size."
        )
    if head not in OUTPUT_NAMES:
        raise UserError(f"head is one of {', '.join(OUTPUT_NAMES)}, not {head!r}.")
    if head == "linear":
        width = encoder.backbone.output_shape[-1]
        if probe is None:
            raise UserError("The head 'linear' needs a classifier: run `s2bnn eval linear` first.")
        kernel, bias = probe
        if kernel.shape != (width, len(bias)):
            raise UserError(
                f"The linear classifier takes {kernel.shape[0]} features but the backbone gives "
                f"{width}: run `s2bnn eval linear` on this encoder again."
            )


def _clone(model: keras.Model, clone_layer: Callable) -> keras.Model:
    def clone(layer):
        if isinstance(layer, keras.Model):
            return _clone(layer, clone_layer)
        return clone_layer(layer)

    try:
        with warnings.catch_warnings():
            # Larq Zoo initializes the blur of QuickNet by a function, of which Keras warns.
            warnings.filterwarnings("ignore", "The `keras.initializers.serialize")
            return keras.models.clone_model(model, clone_function=clone)
    except TypeError as error:
        raise UserError(
            f"A layer of {model.name!r} cannot be copied: give its class a get_config() and "
            "the decorator keras.saving.register_keras_serializable()."
        ) from error
    except ValueError as error:
        raise UserError(
            f"{model.name!r} cannot be converted because it is not a functional Keras model: "
            "build it with keras.Model(inputs, outputs)."
        ) from error


def _float32(layer: keras.layers.Layer) -> keras.layers.Layer:
    return type(layer).from_config(_with_float32(layer.get_config()))


def _frozen(layer: keras.layers.Layer) -> keras.layers.Layer:
    copy = type(layer).from_config(_with_float32(layer.get_config()))
    for attribute in _WEIGHT_QUANTIZERS:
        if getattr(copy, attribute, None) is not None:
            setattr(copy, attribute, None)
    return copy


def _with_float32(config):
    """A layer's configuration with every dtype in it, also of its quantizers, set to float32."""
    if isinstance(config, dict):
        return {
            key: "float32" if key == "dtype" else _with_float32(value)
            for key, value in config.items()
        }
    return config
