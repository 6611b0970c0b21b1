"""Vision transformers as DINO and DINOv2 have them, for real-valued teachers."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.backbones.vit_layers import (
    EPSILON,
    OUTPUTS,
    AddTokens,
    PickTokens,
    TransformerBlock,
)
from s2bnn_tf.errors import ConfigError, ModelError

keras = tf.keras

CHANNELS_PER_HEAD = 64


@dataclass(frozen=True)
class Size:
    """The size of a vision transformer.

    Attributes:
        channels: The channels of a token at width 1.
        blocks: The number of blocks.
    """

    channels: int
    blocks: int


VIT_SIZES = {"vit_small": Size(384, 12), "vit_base": Size(768, 12), "vit_large": Size(1024, 24)}


@register_backbone("vit_small")
def vit_small(
    input_shape: tuple[int, int, int],
    *,
    width: float = 1.0,
    patch_size: int = 16,
    registers: int = 0,
    position_grid: int = 14,
    layer_scale: bool = False,
) -> keras.Model:
    """Build ViT-S, `(B, H, W, 3)` to `(B, 384 * width)`.

    Args:
        input_shape: `(height, width, 3)` in pixels, both multiples of the patch.
        width: The factor on the number of channels, 384 at 1, which stays a multiple of the 64
            channels of a head.
        patch_size: Height and width of a patch in pixels, 14 in DINOv2.
        registers: The number of register tokens, 4 where DINOv2 has them.
        position_grid: The number of learned position embeddings per side, 37 in DINOv2 (518
            pixels). They are interpolated for images of any other size.
        layer_scale: Whether each branch has a factor per channel, as in DINOv2.

    Returns:
        A Keras model from normalized images `(B, H, W, 3)` to the class token `(B, 384 * width)`;
        `with_output` gives the patches.

    Raises:
        ConfigError: If an option has an impossible value.
        ModelError: If the sides of the images are no multiples of the patch.

    References:
        https://arxiv.org/abs/2010.11929; DINO, https://arxiv.org/abs/2104.14294;
        DINOv2, https://arxiv.org/abs/2304.07193.
    """
    return _vit("vit_small", input_shape, width, patch_size, registers, position_grid, layer_scale)


@register_backbone("vit_base")
def vit_base(
    input_shape: tuple[int, int, int],
    *,
    width: float = 1.0,
    patch_size: int = 16,
    registers: int = 0,
    position_grid: int = 14,
    layer_scale: bool = False,
) -> keras.Model:
    """Build ViT-B, `(B, H, W, 3)` to `(B, 768 * width)`; arguments as for `vit_small`."""
    return _vit("vit_base", input_shape, width, patch_size, registers, position_grid, layer_scale)


@register_backbone("vit_large")
def vit_large(
    input_shape: tuple[int, int, int],
    *,
    width: float = 1.0,
    patch_size: int = 16,
    registers: int = 0,
    position_grid: int = 14,
    layer_scale: bool = False,
) -> keras.Model:
    """Build ViT-L, `(B, H, W, 3)` to `(B, 1024 * width)`; arguments as for `vit_small`."""
    return _vit("vit_large", input_shape, width, patch_size, registers, position_grid, layer_scale)


def _vit(
    name: str,
    input_shape: tuple[int, int, int],
    width: float,
    patch_size: int,
    registers: int,
    position_grid: int,
    layer_scale: bool,
) -> keras.Model:
    size = VIT_SIZES[name]
    channels = round(size.channels * width)
    if channels < CHANNELS_PER_HEAD or channels % CHANNELS_PER_HEAD:
        raise ConfigError(
            f"{name}'s width must leave a multiple of {CHANNELS_PER_HEAD} channels of its "
            f"{size.channels}, which {width:g} does not."
        )
    check_patches(name, input_shape, patch_size)
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Conv2D(channels, patch_size, strides=patch_size, name="patch_embed")(image)
    rows = x.shape[1]
    x = AddTokens(position_grid, registers, name="tokens")(x)
    for index in range(size.blocks):
        heads = channels // CHANNELS_PER_HEAD
        x = TransformerBlock(heads, layer_scale, name=f"block{index}")(x)
    x = keras.layers.LayerNormalization(epsilon=EPSILON, name="norm")(x)
    features = PickTokens("class_token", rows, registers, name="features")(x)
    return keras.Model(image, features, name=name)


def check_patches(name: str, input_shape: tuple[int, ...], patch_size: int) -> None:
    """Check that an image is made of whole patches.

    Raises:
        ModelError: If it is not; it names the next sizes that are.
    """
    height, width = input_shape[:2]
    if height % patch_size or width % patch_size or not height * width:
        below = max(1, min(height, width) // patch_size) * patch_size
        raise ModelError(
            f"{name} takes images whose sides are multiples of its patch of {patch_size} pixels, "
            f"and not of {height}x{width}: choose a size such as {below} or {below + patch_size}."
        )


def is_vit(backbone: keras.Model) -> bool:
    """Whether a backbone is a vision transformer, whose outputs `with_output` chooses."""
    return any(isinstance(layer, PickTokens) for layer in backbone.layers)


def with_output(backbone: keras.Model, output: str) -> keras.Model:
    """Choose what a vision transformer returns; the weights are shared.

    >>> vit = vit_small((32, 48, 3), width=1 / 6, position_grid=2)
    >>> with_output(vit, "map").output_shape
    (None, 2, 3, 64)
    >>> with_output(vit, "class_and_patches").output_shape
    (None, 128)

    Args:
        backbone: A vision transformer of this package.
        output: `"class_token"`, `"patches"` for the mean of the patches' tokens,
            `"class_and_patches"` for both concatenated, or `"map"` for all patches.

    Returns:
        A Keras model from normalized images `(B, H, W, 3)` to `(B, C)`, `(B, 2C)`, or, for the
        map, `(B, rows, columns, C)`.

    Raises:
        ConfigError: If the backbone is no vision transformer, or there is no such output.
    """
    if output not in OUTPUTS:
        raise ConfigError(f"A transformer's output is {', '.join(OUTPUTS)}, not {output!r}.")
    if not is_vit(backbone):
        raise ConfigError(
            f"{backbone.name} is no vision transformer and has no {output}; choose the output "
            "features."
        )
    features = next(layer for layer in backbone.layers if isinstance(layer, PickTokens))
    pick = PickTokens(output, features.rows, features.registers, name=output)
    return keras.Model(backbone.input, pick(features.input), name=f"{backbone.name}_{output}")
