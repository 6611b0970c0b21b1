"""EfficientNet-Lite0, for real-valued teachers: small, and published with ImageNet's labels."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.backbones.renormalize import Renormalize

keras = tf.keras

# Of pixels in 0..1; the publisher has 127 and 128 of pixels in 0..255.
_MEAN = (127 / 255,) * 3
_STD = (128 / 255,) * 3
_EPSILON = 1e-3
_MOMENTUM = 0.99


@dataclass(frozen=True)
class Stage:
    """Blocks of one width.

    Attributes:
        blocks: Their number.
        kernel_size: Of the depthwise convolutions.
        strides: Of the first block.
        expansion: The factor on the channels inside a block.
        channels: The channels of its output.
    """

    blocks: int
    kernel_size: int
    strides: int
    expansion: int
    channels: int


LITE0_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
LITE0_STEM = 32  # channels
LITE0_FEATURES = 1280


@register_backbone("efficientnet_lite0")
def efficientnet_lite0(input_shape: tuple[int, int, int]) -> keras.Model:
    """Build EfficientNet-Lite0 without its classifier, `(B, H, W, 3)` to `(B, 1280)`.

    It is EfficientNet-B0 without squeeze-and-excitation and with ReLU6. Its own normalization, of
    127 and 128, is its first layer, so that it takes our normalized images as other networks do.

    Args:
        input_shape: `(height, width, 3)`, in pixels.

    Returns:
        A Keras model from normalized images `(B, H, W, 3)` to the mean `(B, 1280)` of the last
        map, which has a pixel for each 32.

    References:
        https://arxiv.org/abs/1905.11946;
        https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
    """
    image = keras.Input(input_shape, name="image")
    x = Renormalize(_MEAN, _STD, name="renormalize")(image)
    x = _conv(x, LITE0_STEM, "stem", kernel_size=3, strides=2)
    x = keras.layers.ReLU(6, name="stem_relu")(x)
    index = 0
    for stage in LITE0_STAGES:
        for repeat in range(stage.blocks):
            x = _block(x, stage, 1 if repeat else stage.strides, f"block{index}")
            index += 1
    x = keras.layers.ReLU(6, name="head_relu")(_conv(x, LITE0_FEATURES, "head"))
    features = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, features, name="efficientnet_lite0")


def _block(x: tf.Tensor, stage: Stage, strides: int, name: str) -> tf.Tensor:
    """An inverted bottleneck: wider, a convolution per channel, and narrower again."""
    shortcut, channels = x, x.shape[-1]
    if stage.expansion != 1:
        x = _conv(x, stage.expansion * channels, f"{name}_expand")
        x = keras.layers.ReLU(6, name=f"{name}_expand_relu")(x)
    x = keras.layers.DepthwiseConv2D(
        stage.kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{name}_depthwise_conv",
    )(x)
    x = _batch_norm(f"{name}_depthwise_bn")(x)
    x = keras.layers.ReLU(6, name=f"{name}_depthwise_relu")(x)
    x = _conv(x, stage.channels, f"{name}_project")
    if strides == 1 and stage.channels == channels:
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return x


def _conv(
    x: tf.Tensor, channels: int, name: str, *, kernel_size: int = 1, strides: int = 1
) -> tf.Tensor:
    x = keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(),
        name=f"{name}_conv",
    )(x)
    return _batch_norm(f"{name}_bn")(x)


def _batch_norm(name: str) -> keras.layers.BatchNormalization:
    return keras.layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON, name=name)


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, mode="fan_out")
