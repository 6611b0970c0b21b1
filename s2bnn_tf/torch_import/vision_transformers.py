"""Vision transformers: their names in several codes, what they describe, and their weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from s2bnn_tf.backbones import CHANNELS_PER_HEAD, VIT_SIZES
from s2bnn_tf.errors import ModelError
from s2bnn_tf.torch_import.network import Network, ViTGeometry
from s2bnn_tf.torch_import.tensors import TensorAccount, describe_shape

keras = tf.keras

# The tensors by which a transformer is found, in the publishers' names and in Hugging Face's.
PATCHES = "patch_embed.proj.weight"
HUGGING_FACE_PATCHES = "embeddings.patch_embeddings.projection.weight"
COMPLETE = {
    PATCHES: ("cls_token", "pos_embed", "norm.weight"),
    HUGGING_FACE_PATCHES: (
        "embeddings.cls_token",
        "embeddings.position_embeddings",
        "layernorm.weight",
    ),
}

MASK_UNUSED = "the token of masked patches, which only its own training needs"
HEAD_UNUSED = "a head beside the transformer"
_HEAD = re.compile(r"\w*head\w*|classifier|pooler|prototypes|predictor|decoder", re.ASCII)
_LARGEST_GRID = 256  # position embeddings per side; DINOv2 has 37
_MOST_REGISTERS = 64

_RENAMED = (
    (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"embeddings\.position_embeddings$", "pos_embed"),
    (r"embeddings\.(cls_token|mask_token|register_tokens)$", r"\1"),
    (r"reg_token$", "register_tokens"),  # timm's
    (r"layernorm\.", "norm."),
    (r"encoder\.layer\.", "blocks."),
    (r"blocks\.[0-9]+\.(?=[0-9])", "blocks."),  # chunks; the numbers inside go on
    (r"(blocks\.[0-9]+\.)layernorm_before\.", r"\1norm1."),
    (r"(blocks\.[0-9]+\.)layernorm_after\.", r"\1norm2."),
    (r"(blocks\.[0-9]+\.)attention\.attention\.", r"\1attn."),
    (r"(blocks\.[0-9]+\.)attention\.output\.dense\.", r"\1attn.proj."),
    (r"(blocks\.[0-9]+\.)intermediate\.dense\.", r"\1mlp.fc1."),
    (r"(blocks\.[0-9]+\.)output\.dense\.", r"\1mlp.fc2."),
    (r"(blocks\.[0-9]+\.)layer_scale([12])\.lambda1$", r"\1ls\2.gamma"),
)
_PATTERNS = [(re.compile(pattern, re.ASCII), new) for pattern, new in _RENAMED]


def publishers_name(name: str) -> str:
    """Translate the name of a transformer's tensor into that of DINO's and DINOv2's code.

    >>> publishers_name("encoder.layer.3.attention.attention.query.bias")
    'blocks.3.attn.query.bias'
    >>> publishers_name("blocks.0.3.ls1.gamma"), publishers_name("reg_token")
    ('blocks.3.ls1.gamma', 'register_tokens')

    Args:
        name: The name without the prefix of the network, in the publishers' naming, timm's or
            Hugging Face's, with blocks in chunks or not.
    """
    for pattern, new in _PATTERNS:
        match = pattern.match(name)
        if match:
            name = match.expand(new) + name[match.end() :]
    return name


def is_head(name: str) -> bool:
    """Whether a tensor, by its name within the network, belongs to a head beside it.

    >>> is_head("dino_head.mlp.0.weight"), is_head("norm.weight")
    (True, False)
    """
    return _HEAD.fullmatch(name.partition(".")[0]) is not None


def recognize_vit(backbone: Mapping[str, tuple[int, ...]]) -> Network:
    """Recognize a vision transformer, and read its geometry from the shapes.

    Args:
        backbone: Shapes by the publishers' names.

    Raises:
        ModelError: If it cannot be imported; the message describes the network.
    """
    if "pos_embed" not in backbone:
        raise ModelError(
            "The file looks like a vision transformer without learned position embeddings, as "
            "DINOv3 is; those that can be imported have them, as DINO and DINOv2."
        )
    kernel = backbone[PATCHES]
    if len(kernel) != 4 or kernel[1] != 3 or kernel[2] != kernel[3] or not kernel[2]:
        raise ModelError(
            f"{PATCHES} is {describe_shape(kernel)}, and not the kernel of square patches of a "
            "picture in 3 channels: the file is damaged, or another network's."
        )
    channels, patch = kernel[0], kernel[2]
    found = (re.match(r"blocks\.([0-9]+)\.", name) for name in backbone)
    blocks = len({match[1] for match in found if match})
    fits = [
        name
        for name, size in VIT_SIZES.items()
        if size.blocks == blocks and channels <= size.channels
    ]
    if not fits or not channels or channels % CHANNELS_PER_HEAD:
        known = ", ".join(f"{s.blocks} with {s.channels}" for s in VIT_SIZES.values())
        raise ModelError(
            f"The file looks like a vision transformer of {blocks} blocks with {channels} "
            f"channels; those that can be imported have {known}."
        )
    registers = _count(backbone, "register_tokens", channels)
    geometry = ViTGeometry(
        patch_size=patch,
        registers=registers,
        position_grid=_grid(backbone["pos_embed"], channels),
        layer_scale="blocks.0.ls1.gamma" in backbone,
    )
    return Network(fits[0], channels / VIT_SIZES[fits[0]].channels, None, geometry)


def _count(backbone: Mapping[str, tuple[int, ...]], name: str, channels: int) -> int:
    shape = backbone.get(name, (1, 0, channels))
    if len(shape) != 3 or shape[::2] != (1, channels) or shape[1] > _MOST_REGISTERS:
        raise ModelError(
            f"{name} is {describe_shape(shape)}, and not a few tokens of {channels} channels: the "
            "file is damaged, or another network's."
        )
    return shape[1]


def _grid(shape: tuple[int, ...], channels: int) -> int:
    """The number of position embeddings per side; one more may be that of the class token."""
    count = shape[1] if len(shape) == 3 and shape[::2] == (1, channels) else 0
    side = next((r for n in (count, count - 1) if n > 0 and (r := math.isqrt(n)) ** 2 == n), 0)
    if not 0 < side <= _LARGEST_GRID:
        raise ModelError(
            f"pos_embed is {describe_shape(shape)}, and not one embedding of {channels} channels "
            "for each patch of a square, with or without one for the class token: the network has "
            "tokens that are not known here, or its pictures are not square."
        )
    return side


def fill_vit(backbone: keras.Model, tensors: TensorAccount, prefix: str) -> None:
    """Fill a vision transformer from tensors with the publishers' names."""
    patches, tokens = backbone.get_layer("patch_embed"), backbone.get_layer("tokens")
    size, _, colors, channels = patches.kernel.shape
    kernel = tensors.take(f"{prefix}{PATCHES}", (channels, colors, size, size))
    patches.kernel.assign(kernel.transpose(2, 3, 1, 0))
    patches.bias.assign(tensors.take(f"{prefix}patch_embed.proj.bias", (channels,)))
    _fill_tokens(tokens, tensors, prefix)
    blocks = sum(layer.name.startswith("block") for layer in backbone.layers)
    for index in range(blocks):
        _fill_block(backbone.get_layer(f"block{index}"), tensors, f"{prefix}blocks.{index}.")
    fill_norm(backbone.get_layer("norm"), tensors, f"{prefix}norm.")


def _fill_tokens(layer: keras.layers.Layer, tensors: TensorAccount, prefix: str) -> None:
    """Fill the tokens; the class token takes up its position embedding, if it has one."""
    side, _, channels = layer.positions.shape
    has_own = f"{prefix}pos_embed" in tensors and (
        tensors.shape(f"{prefix}pos_embed")[1] == side * side + 1
    )
    positions = tensors.take(f"{prefix}pos_embed", (1, side * side + has_own, channels))[0]
    token = tensors.take(f"{prefix}cls_token", (1, 1, channels))[0].astype(np.float64)
    layer.class_token.assign(token + positions[:1] if has_own else token)
    layer.positions.assign(positions[has_own:].reshape(side, side, channels))
    if layer.registers:
        shape = (1, layer.registers, channels)
        layer.register_tokens.assign(tensors.take(f"{prefix}register_tokens", shape)[0])


def _fill_block(block: keras.layers.Layer, tensors: TensorAccount, prefix: str) -> None:
    for number, norm in (("1", block.norm1), ("2", block.norm2)):
        fill_norm(norm, tensors, f"{prefix}norm{number}.")
    if f"{prefix}attn.query.weight" in tensors:
        fill_dense(block.qkv, tensors, *(f"{prefix}attn.{n}." for n in ("query", "key", "value")))
    else:
        fill_dense(block.qkv, tensors, f"{prefix}attn.qkv.")
    fill_dense(block.project, tensors, f"{prefix}attn.proj.")
    fill_dense(block.expand, tensors, f"{prefix}mlp.fc1.")
    fill_dense(block.contract, tensors, f"{prefix}mlp.fc2.")
    if block.layer_scale:
        for number, scale in (("1", block.scale1), ("2", block.scale2)):
            scale.assign(tensors.take(f"{prefix}ls{number}.gamma", tuple(scale.shape)))


def fill_dense(layer: keras.layers.Dense, tensors: TensorAccount, *prefixes: str) -> None:
    """Fill one dense layer from one or more parallel ones; a missing bias is zero."""
    inputs, outputs = layer.kernel.shape
    shape = (outputs // len(prefixes), inputs)
    kernels = [tensors.take(f"{prefix}weight", shape) for prefix in prefixes]
    layer.kernel.assign(np.concatenate(kernels).T)
    biases = [
        tensors.take(f"{prefix}bias", shape[:1])
        if f"{prefix}bias" in tensors
        else np.zeros(shape[0])
        for prefix in prefixes
    ]
    layer.bias.assign(np.concatenate(biases))


def fill_norm(layer: keras.layers.LayerNormalization, tensors: TensorAccount, prefix: str) -> None:
    """Fill a normalization."""
    for name, variable in (("weight", layer.gamma), ("bias", layer.beta)):
        variable.assign(tensors.take(f"{prefix}{name}", tuple(variable.shape)))
