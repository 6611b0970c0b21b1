"""QuickNet: binary 3x3 convolutions padded with ones, and cheap float layers where maps shrink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from s2bnn_tf.backbones.batch_norm import batch_norm
from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.layers import BinaryConv2D

keras = tf.keras

# Makes a 3x3 convolution with ReLU behind it, of filters and name.
Convolution = Callable[[int, str], keras.layers.Layer]


@dataclass(frozen=True)
class QuickNetSize:
    """A published size of QuickNet.

    Attributes:
        blocks: The number of binary convolutions in each of the four sections.
        channels: The channels of each section, at width 1.
    """

    blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]


QUICKNET_SIZES = {
    "quicknet_small": QuickNetSize((4, 4, 4, 4), (32, 64, 256, 512)),
    "quicknet": QuickNetSize((4, 4, 4, 4), (64, 128, 256, 512)),
    "quicknet_large": QuickNetSize((6, 8, 12, 6), (64, 128, 256, 512)),
}
# The strides of the two convolutions of each stem.
_STEMS = {"imagenet": (2, 2), "medium": (2, 1), "small": (1, 1)}
_UNIT = 8  # channels that a width scales as one
_SMALLEST_FIRST_MAP = 8  # three transitions leave one place of it
_CLIP = 1.25  # of latent weights, and of the gradient of both signs


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class Blur(keras.initializers.Initializer):
    """The kernel of a depthwise convolution that averages 3x3 places with a binomial filter.

    References:
        Making Convolutional Networks Shift-Invariant Again, https://arxiv.org/abs/1904.11486.
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        line = np.array([1, 2, 1]) / 4
        return tf.cast(tf.broadcast_to(np.outer(line, line)[..., None, None], shape), dtype)


def quicknet(
    name: str,
    input_shape: tuple[int, int, int],
    *,
    stem: str = "imagenet",
    width: float = 1.0,
    binarize_weights: bool = True,
) -> keras.Model:
    """Build a QuickNet without its classifier.

    It is the network of Larq Zoo, layer by layer, and needs no Larq Zoo. The features are what the
    published classifier takes: after ReLU and pooling.

    Args:
        name: One of `QUICKNET_SIZES`.
        input_shape: `(height, width, channels)`, in pixels.
        stem: `"imagenet"` reduces height and width 32 times, in all. `"medium"` reduces them 16
            times, for images of 64 to 128 pixels: the second convolution has no stride.
            `"small"` reduces them 8 times, for images of 32 to 64 pixels: neither has one.
        width: The factor on all channel counts, at least 1/8.
        binarize_weights: False in step 1 (binary activations, real weights), True in step 2.

    Returns:
        A Keras model from normalized images `(B, H, W, C)` to features `(B, 512 * width)`.

    Raises:
        ConfigError: If an option has an impossible value.
        ModelError: If the images are too small.

    References:
        Larq Compute Engine, https://arxiv.org/abs/2011.09398, section 5.
    """

    def conv(filters: int, name: str) -> BinaryConv2D:
        return BinaryConv2D(
            filters,
            3,
            pad_values=1.0,
            activation="relu",
            input_quantizer=lq.quantizers.SteSign(clip_value=_CLIP),
            kernel_quantizer=lq.quantizers.SteSign(clip_value=_CLIP),
            kernel_constraint=lq.constraints.WeightClip(clip_value=_CLIP),
            kernel_initializer="glorot_normal",
            binarize_weights=binarize_weights,
            name=name,
        )

    return _quicknet(name, QUICKNET_SIZES[name], input_shape, conv, stem, width)


def quicknet_real(
    name: str,
    input_shape: tuple[int, int, int],
    *,
    stem: str = "imagenet",
    width: float = 1.0,
) -> keras.Model:
    """Build the real-valued twin of a QuickNet, with ordinary convolutions padded with zeros.

    It shows how much accuracy binarization costs. See `quicknet` for the arguments; the name has
    `_real` behind it.
    """

    def conv(filters: int, name: str) -> keras.layers.Conv2D:
        return keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            use_bias=False,
            kernel_initializer="glorot_normal",
            name=name,
        )

    size = QUICKNET_SIZES[name.removesuffix("_real")]
    return _quicknet(name, size, input_shape, conv, stem, width)


def _register(name: str) -> None:
    """Register a size and its twin."""

    def binary(
        input_shape: tuple[int, int, int],
        *,
        stem: str = "imagenet",
        width: float = 1.0,
        binarize_weights: bool = True,
    ) -> keras.Model:
        return quicknet(
            name, input_shape, stem=stem, width=width, binarize_weights=binarize_weights
        )

    def real(
        input_shape: tuple[int, int, int], *, stem: str = "imagenet", width: float = 1.0
    ) -> keras.Model:
        return quicknet_real(f"{name}_real", input_shape, stem=stem, width=width)

    for builder, full_name in ((binary, name), (real, f"{name}_real")):
        builder.__qualname__ = f"quicknet.{full_name}"
        register_backbone(full_name)(builder)


for _name in QUICKNET_SIZES:
    _register(_name)


def _quicknet(
    name: str,
    size: QuickNetSize,
    input_shape: tuple[int, int, int],
    conv: Convolution,
    stem: str,
    width: float,
) -> keras.Model:
    _check(name, input_shape, stem, width)
    channels = [round(_UNIT * width) * (count // _UNIT) for count in size.channels]
    image = keras.Input(input_shape, name="image")
    x = _stem(image, channels[0], _STEMS[stem])
    for section, blocks in enumerate(size.blocks):
        if section:
            x = _transition(x, channels[section], f"section{section + 1}")
        for block in range(blocks):
            block_name = f"section{section + 1}_block{block + 1}"
            y = conv(channels[section], f"{block_name}_conv")(x)
            y = batch_norm(f"{block_name}_bn")(y)
            x = keras.layers.Add(name=f"{block_name}_add")([y, x])
    x = keras.layers.ReLU(name="relu")(x)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, features, name=name)


def _stem(x: tf.Tensor, channels: int, strides: tuple[int, int]) -> tf.Tensor:
    x = _conv(x, channels // 4, "stem_conv", kernel_size=3, strides=strides[0])
    x = keras.layers.BatchNormalization(name="stem_bn1")(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    x = keras.layers.DepthwiseConv2D(
        3, padding="same", strides=strides[1], use_bias=False, name="stem_depthwise"
    )(x)
    x = keras.layers.BatchNormalization(scale=False, center=False, name="stem_bn2")(x)
    x = _conv(x, channels, "stem_pointwise")
    return keras.layers.BatchNormalization(name="stem_bn3")(x)


def _transition(x: tf.Tensor, channels: int, name: str) -> tf.Tensor:
    """Halve height and width, and change the number of channels."""
    x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = keras.layers.MaxPooling2D(2, strides=1, name=f"{name}_pool")(x)
    x = keras.layers.DepthwiseConv2D(
        3,
        padding="same",
        strides=2,
        use_bias=False,
        depthwise_initializer=Blur(),
        trainable=False,
        name=f"{name}_blur",
    )(x)
    x = _conv(x, channels, f"{name}_conv", initializer="glorot_normal")
    return batch_norm(f"{name}_bn")(x)


def _conv(
    x: tf.Tensor,
    channels: int,
    name: str,
    *,
    kernel_size: int = 1,
    strides: int = 1,
    initializer: str = "he_normal",
) -> tf.Tensor:
    return keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=initializer,
        name=name,
    )(x)


def _check(name: str, input_shape: tuple[int, int, int], stem: str, width: float) -> None:
    if stem not in _STEMS:
        known = ", ".join(repr(known) for known in _STEMS)
        raise ConfigError(f"{name}'s stem must be one of {known}, not {stem!r}.")
    if round(_UNIT * width) < 1:
        raise ConfigError(f"{name}'s width must be at least {1 / _UNIT}, not {width}.")
    first, second = _STEMS[stem]
    smallest = (_SMALLEST_FIRST_MAP - 1) * first * second + 1
    if min(input_shape[:2]) < smallest:
        smaller = {"imagenet": ", or stem: medium or small", "medium": ", or stem: small"}
        raise ModelError(
            f"{name} with stem {stem!r} needs images of {smallest} pixels or more on each side, "
            f"not {input_shape[0]}x{input_shape[1]}: choose a larger image_size"
            f"{smaller.get(stem, '')}."
        )
