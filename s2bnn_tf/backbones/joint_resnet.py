"""The ResNet-50 of CLIP, which pools its map by attention into the space of texts."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.backbones.batch_norm import batch_norm
from s2bnn_tf.backbones.joint_vit import CLIP_MEAN, CLIP_STD
from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.backbones.renormalize import Renormalize
from s2bnn_tf.backbones.vit_pooling import MeanAttentionPooling
from s2bnn_tf.errors import ConfigError

keras = tf.keras

CLIP_RESNET_EMBEDDING = 1024  # dimensions of the space that pictures and texts share
CLIP_RESNET_BLOCKS = (3, 4, 6, 3)
_CHANNELS_PER_HEAD = 64


@register_backbone("clip_resnet50")
def clip_resnet50(
    input_shape: tuple[int, int, int], *, width: float = 1.0, position_grid: int = 7
) -> keras.Model:
    """Build the image tower of CLIP with ResNet-50, `(B, H, W, 3)` to `(B, 1024)`.

    Against ResNet-50 it has three convolutions in its stem, averages before it leaves out places
    instead of striding, and pools by attention whose query is the mean of the map.

    Args:
        input_shape: `(height, width, 3)` in pixels, at least 32 each.
        width: The factor on the number of channels, 64 after the stem at 1, which stays a multiple
            of 2.
        position_grid: The number of learned position embeddings per side of the last map.

    Returns:
        A Keras model from normalized images `(B, H, W, 3)` to embeddings `(B, 1024)` of any
        length, which are what is compared with texts.

    Raises:
        ConfigError: If an option has an impossible value.

    References:
        CLIP, https://arxiv.org/abs/2103.00020, section 2.4.
    """
    base = round(64 * width)
    if base < 2 or base % 2:
        raise ConfigError(
            f"clip_resnet50's width must leave an even number of its 64 channels, which {width:g} "
            "does not."
        )
    if min(input_shape[:2]) < 32:
        raise ConfigError("clip_resnet50 takes images of at least 32 pixels per side.")
    image = keras.Input(input_shape, name="image")
    x = Renormalize(CLIP_MEAN, CLIP_STD, name="renormalize")(image)
    # As in PyTorch, one row and column of zeros on each side, whatever the size is.
    x = keras.layers.ZeroPadding2D(1, name="stem_pad")(x)
    x = _relu(_conv_bn(x, base // 2, 3, "stem1", strides=2, padding="valid"), "stem1")
    x = _relu(_conv_bn(x, base // 2, 3, "stem2"), "stem2")
    x = _relu(_conv_bn(x, base, 3, "stem3"), "stem3")
    x = keras.layers.AveragePooling2D(2, name="stem_pool")(x)
    for stage, depth in enumerate(CLIP_RESNET_BLOCKS):
        for index in range(depth):
            strides = 2 if stage > 0 and index == 0 else 1
            x = _bottleneck(x, base * 2**stage, strides, f"layer{stage + 1}_{index}")
    heads = max(1, 32 * base // _CHANNELS_PER_HEAD)
    x = MeanAttentionPooling(heads, CLIP_RESNET_EMBEDDING, position_grid, name="pooling")(x)
    return keras.Model(image, x, name="clip_resnet50")


def _bottleneck(x: tf.Tensor, channels: int, strides: int, name: str) -> tf.Tensor:
    shortcut = x
    if strides > 1 or x.shape[-1] != 4 * channels:
        if strides > 1:
            shortcut = keras.layers.AveragePooling2D(strides, name=f"{name}_shortcut_pool")(x)
        shortcut = _conv_bn(shortcut, 4 * channels, 1, f"{name}_shortcut")
    x = _relu(_conv_bn(x, channels, 1, f"{name}_1"), f"{name}_1")
    x = _relu(_conv_bn(x, channels, 3, f"{name}_2"), f"{name}_2")
    if strides > 1:
        x = keras.layers.AveragePooling2D(strides, name=f"{name}_pool")(x)
    x = _conv_bn(x, 4 * channels, 1, f"{name}_3")
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_relu3")(x)


def _relu(x: tf.Tensor, name: str) -> tf.Tensor:
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _conv_bn(
    x: tf.Tensor,
    channels: int,
    kernel_size: int,
    name: str,
    *,
    strides: int = 1,
    padding: str = "same",
) -> tf.Tensor:
    x = keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, mode="fan_out"),
        name=f"{name}_conv",
    )(x)
    return batch_norm(f"{name}_bn")(x)
