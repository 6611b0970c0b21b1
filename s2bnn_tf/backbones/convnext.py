"""ConvNeXt V2, for real-valued teachers: a convolutional network trained by masked pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.errors import ModelError

keras = tf.keras

_EPSILON = 1e-6
_STRIDE = 32  # pixels of the image to one of the last map


@dataclass(frozen=True)
class ConvNextSize:
    """The size of a ConvNeXt V2.

    Attributes:
        channels: The channels of the first stage; each further one has twice those before.
        blocks: The number of blocks in each of the four stages.
    """

    channels: int
    blocks: tuple[int, int, int, int]

    @property
    def features(self) -> int:
        """The number of channels C of its features."""
        return 8 * self.channels


CONVNEXT_SIZES = {
    "convnextv2_atto": ConvNextSize(40, (2, 2, 6, 2)),
    "convnextv2_femto": ConvNextSize(48, (2, 2, 6, 2)),
    "convnextv2_pico": ConvNextSize(64, (2, 2, 6, 2)),
    "convnextv2_nano": ConvNextSize(80, (2, 2, 8, 2)),
    "convnextv2_tiny": ConvNextSize(96, (3, 3, 9, 3)),
    "convnextv2_base": ConvNextSize(128, (3, 3, 27, 3)),
    "convnextv2_large": ConvNextSize(192, (3, 3, 27, 3)),
}


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class GlobalResponseNorm(keras.layers.Layer):
    """Strengthen the channels that respond more than others over the whole map.

    `y = x * (1 + gamma * n) + beta`, where n is the norm of a channel over the map, divided by the
    mean of these norms over the channels.

    Input shape:  `(batch, rows, columns, channels)`.
    Output shape: same as the input.

    References:
        Equations 1 to 3 of https://arxiv.org/abs/2301.00808.
    """

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels = (int(input_shape[-1]),)
        self.gamma = self.add_weight("gamma", channels, initializer="zeros")
        self.beta = self.add_weight("beta", channels, initializer="zeros")
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        # Squares and their sums have too few digits in float16 and bfloat16.
        precise = x.dtype if x.dtype == tf.float64 else tf.float32
        norms = tf.norm(tf.cast(x, precise), axis=(1, 2), keepdims=True)
        share = norms / (tf.reduce_mean(norms, axis=-1, keepdims=True) + _EPSILON)
        return x * (1 + self.gamma * tf.cast(share, x.dtype)) + self.beta

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config


def _convnext(name: str, input_shape: tuple[int, int, int]) -> keras.Model:
    """Build a ConvNeXt V2, `(B, H, W, 3)` to the normalized mean `(B, C)` of its last map.

    Args:
        name: One of `CONVNEXT_SIZES`.
        input_shape: `(height, width, 3)`, in pixels, each at least 32.

    Raises:
        ModelError: If the images are too small.
    """
    if min(input_shape[:2]) < _STRIDE:
        raise ModelError(
            f"{name} takes images of at least {_STRIDE}x{_STRIDE} pixels, and not of "
            f"{input_shape[0]}x{input_shape[1]}; choose a larger size."
        )
    size = CONVNEXT_SIZES[name]
    image = x = keras.Input(input_shape, name="image")
    for stage, blocks in enumerate(size.blocks):
        channels = size.channels * 2**stage
        if stage == 0:
            x = keras.layers.Conv2D(channels, 4, strides=4, name="down0_conv")(x)
            x = _norm("down0_norm")(x)
        else:
            x = _norm(f"down{stage}_norm")(x)
            x = keras.layers.Conv2D(channels, 2, strides=2, name=f"down{stage}_conv")(x)
        for block in range(blocks):
            x = _block(x, f"stage{stage}_{block}")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, _norm("norm")(x), name=name)


for _name in CONVNEXT_SIZES:
    register_backbone(_name)(partial(_convnext, _name))


def _block(x: tf.Tensor, name: str) -> tf.Tensor:
    shortcut, channels = x, x.shape[-1]
    x = keras.layers.DepthwiseConv2D(7, padding="same", name=f"{name}_depthwise")(x)
    x = _norm(f"{name}_norm")(x)
    x = keras.layers.Dense(4 * channels, name=f"{name}_expand")(x)
    x = keras.layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = GlobalResponseNorm(name=f"{name}_grn")(x)
    x = keras.layers.Dense(channels, name=f"{name}_contract")(x)
    return keras.layers.Add(name=f"{name}_add")([x, shortcut])


def _norm(name: str) -> keras.layers.LayerNormalization:
    return keras.layers.LayerNormalization(epsilon=_EPSILON, name=name)
