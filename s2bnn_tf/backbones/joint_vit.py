"""The image towers of CLIP and SigLIP: vision transformers that share a space with texts."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.backbones.renormalize import Renormalize
from s2bnn_tf.backbones.vit import CHANNELS_PER_HEAD, check_patches
from s2bnn_tf.backbones.vit_layers import AddTokens, PickTokens, TransformerBlock
from s2bnn_tf.backbones.vit_pooling import AttentionPooling
from s2bnn_tf.errors import ConfigError

keras = tf.keras

JOINT_CHANNELS = {"clip_vit_base": 768, "siglip_vit_base": 768}  # of a token at width 1
JOINT_BLOCKS = 12
CLIP_EMBEDDING = 512  # dimensions of the space that pictures and texts of CLIP share
# The mean and standard deviation of the pixels, from 0 to 1, that CLIP's towers take.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_CLIP_EPSILON, _SIGLIP_EPSILON = 1e-5, 1e-6
_HALF = (0.5, 0.5, 0.5)


@register_backbone("clip_vit_base")
def clip_vit_base(
    input_shape: tuple[int, int, int],
    *,
    width: float = 1.0,
    patch_size: int = 32,
    position_grid: int = 7,
) -> keras.Model:
    """Build the image tower of CLIP with ViT-B, `(B, H, W, 3)` to `(B, 512)`.

    Against DINO's transformer it has a LayerNorm before the first block, the quick GELU, and a
    projection at its end, so that its features are what is compared with texts.

    Args:
        input_shape: `(height, width, 3)` in pixels, both multiples of the patch.
        width: The factor on the number of channels, 768 at 1, which stays a multiple of the 64
            channels of a head.
        patch_size: Height and width of a patch in pixels: 32, or 16.
        position_grid: The number of learned position embeddings per side: 7, or 14.

    Returns:
        A Keras model from normalized images `(B, H, W, 3)` to embeddings `(B, 512)` of any length.

    Raises:
        ConfigError: If an option has an impossible value.
        ModelError: If the sides of the images are no multiples of the patch.

    References:
        CLIP, https://arxiv.org/abs/2103.00020.
    """
    name = "clip_vit_base"
    channels, image = _check(name, input_shape, width, patch_size)
    x = Renormalize(CLIP_MEAN, CLIP_STD, name="renormalize")(image)
    x = keras.layers.Conv2D(
        channels, patch_size, strides=patch_size, use_bias=False, name="patch_embed"
    )(x)
    rows = x.shape[1]
    x = AddTokens(position_grid, name="tokens")(x)
    x = keras.layers.LayerNormalization(epsilon=_CLIP_EPSILON, name="norm_before")(x)
    x = _blocks(x, "quick_gelu", _CLIP_EPSILON)
    x = keras.layers.LayerNormalization(epsilon=_CLIP_EPSILON, name="norm")(x)
    x = PickTokens("class_token", rows, name="features")(x)
    x = keras.layers.Dense(CLIP_EMBEDDING, use_bias=False, name="projection")(x)
    return keras.Model(image, x, name=name)


@register_backbone("siglip_vit_base")
def siglip_vit_base(
    input_shape: tuple[int, int, int],
    *,
    width: float = 1.0,
    patch_size: int = 16,
    position_grid: int = 14,
) -> keras.Model:
    """Build the image tower of SigLIP with ViT-B, `(B, H, W, 3)` to `(B, 768 * width)`.

    It has no class token: one learned query pools all tokens by attention. Its GELU is the
    approximation by tanh. Arguments and errors as for `clip_vit_base`.

    Returns:
        A Keras model from normalized images `(B, H, W, 3)` to embeddings `(B, 768 * width)`, which
        are what is compared with texts, of any length.

    References:
        SigLIP, https://arxiv.org/abs/2303.15343.
    """
    name = "siglip_vit_base"
    channels, image = _check(name, input_shape, width, patch_size)
    x = Renormalize(_HALF, _HALF, name="renormalize")(image)
    x = keras.layers.Conv2D(channels, patch_size, strides=patch_size, name="patch_embed")(x)
    x = AddTokens(position_grid, class_token=False, name="tokens")(x)
    x = _blocks(x, "gelu_tanh", _SIGLIP_EPSILON)
    x = keras.layers.LayerNormalization(epsilon=_SIGLIP_EPSILON, name="norm")(x)
    x = AttentionPooling(channels // CHANNELS_PER_HEAD, name="pooling")(x)
    return keras.Model(image, x, name=name)


def _blocks(x: tf.Tensor, activation: str, epsilon: float) -> tf.Tensor:
    heads = x.shape[-1] // CHANNELS_PER_HEAD
    for index in range(JOINT_BLOCKS):
        block = TransformerBlock(
            heads, activation=activation, epsilon=epsilon, name=f"block{index}"
        )
        x = block(x)
    return x


def _check(
    name: str, input_shape: tuple[int, int, int], width: float, patch_size: int
) -> tuple[int, tf.Tensor]:
    """The channels of a token, and the input."""
    channels = round(JOINT_CHANNELS[name] * width)
    if channels < CHANNELS_PER_HEAD or channels % CHANNELS_PER_HEAD:
        raise ConfigError(
            f"{name}'s width must leave a multiple of {CHANNELS_PER_HEAD} channels of its "
            f"{JOINT_CHANNELS[name]}, which {width:g} does not."
        )
    check_patches(name, input_shape, patch_size)
    return channels, keras.Input(input_shape, name="image")
