"""The image towers of CLIP and SigLIP, from Hugging Face's files and OpenAI's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import CHANNELS_PER_HEAD, JOINT_BLOCKS, JOINT_CHANNELS, Encoder
from s2bnn_tf.config import StudentConfig
from s2bnn_tf.errors import ModelError
from s2bnn_tf.image_size import ImageSize
from s2bnn_tf.torch_import.assembly import Imported
from s2bnn_tf.torch_import.joint_names import OPENAI, hugging_face_name, tower_prefix
from s2bnn_tf.torch_import.joint_towers import import_tower
from s2bnn_tf.torch_import.tensors import TensorAccount, describe_shape
from s2bnn_tf.torch_import.vision_transformers import fill_dense, fill_norm

keras = tf.keras

_POSITIONS_OF = "numbers of the position embeddings, which count from 0"
_LARGEST_GRID = 256
_TINYCLIP = (512, 16)  # channels and pixels of a patch of TinyCLIP's ViT-39M/16


def is_joint(tensors: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the tensors are those of a CLIP or a SigLIP with a vision transformer."""
    return tower_prefix(tensors) is not None


def import_joint(
    tensors: Mapping[str, NDArray[Any]],
    *,
    architecture: str | None,
    step: int | None,
    data: str,
    image_size: ImageSize,
) -> Imported:
    """Build the image tower of a state dict, and fill it; arguments as for `import_tensors`.

    Raises:
        ConfigError: If `architecture` or `step` is impossible for this file.
        ModelError: If the tensors do not fit one by one.
    """
    found = tower_prefix(tensors)
    assert found is not None
    prefix, code = found
    account = TensorAccount(_renamed(tensors, prefix, code))
    student, name = _recognize(account)

    def fill(encoder: Encoder, account: TensorAccount) -> None:
        _fill(encoder, account, code)
        account.ignore("vision_model.embeddings.position_ids", _POSITIONS_OF)

    return import_tower(
        account,
        student,
        name,
        fill,
        own=("vision_model.", "visual.", "visual_projection."),
        named_as="OpenAI" if code == OPENAI else "Hugging Face",
        prefix=prefix,
        architecture=architecture,
        step=step,
        data=data,
        image_size=image_size,
    )


def _renamed(
    tensors: Mapping[str, NDArray[Any]], prefix: str, code: str
) -> dict[str, NDArray[Any]]:
    """The tensors by Hugging Face's names, without the prefix."""
    renamed: dict[str, NDArray[Any]] = {}
    for name, tensor in tensors.items():
        inside = name.removeprefix(prefix)
        new = hugging_face_name(inside) if code == OPENAI else inside
        if new in renamed:
            raise ModelError(f"The file has {new} twice.")
        renamed[new] = tensor
    return renamed


def _recognize(account: TensorAccount) -> tuple[StudentConfig, str]:
    """The recipe of the tower that the shapes describe, and its name."""
    kernel = account.shape("vision_model.embeddings.patch_embedding.weight")
    positions = account.shape("vision_model.embeddings.position_embedding.weight")
    is_siglip = "vision_model.head.probe" in account
    backbone = "siglip_vit_base" if is_siglip else "clip_vit_base"
    blocks = len({n.split(".")[3] for n in account.names("vision_model.encoder.layers.")})
    channels = kernel[0] if len(kernel) == 4 else 0
    side = math.isqrt(max(positions[0] - (not is_siglip), 0)) if len(positions) == 2 else 0
    most = JOINT_CHANNELS[backbone]
    if (
        blocks != JOINT_BLOCKS
        or not 0 < channels <= most
        or channels % CHANNELS_PER_HEAD
        or kernel[1] != 3
        or kernel[2] != kernel[3]
        or not 0 < side <= _LARGEST_GRID
        or positions != (side * side + (not is_siglip), channels)
    ):
        raise ModelError(
            f"The file looks like the image tower of a {'SigLIP' if is_siglip else 'CLIP'} of "
            f"{blocks} blocks with patches {describe_shape(kernel)} and positions "
            f"{describe_shape(positions)}; those that can be imported have {JOINT_BLOCKS} blocks, "
            f"square patches of at most {most} channels, and one position for each."
        )
    dim = channels
    if not is_siglip:
        dim = 512
    width = channels / most
    student = StudentConfig(
        backbone=backbone,
        width=None if width == 1 else width,
        patch_size=kernel[2],
        position_grid=side,
        embedding_dim=dim,
        head="none",
    )
    if not is_siglip and (channels, kernel[2]) == _TINYCLIP:
        return student, "tinyclip_vit_39m"
    name = f"{'siglip' if is_siglip else 'clip'}_vit_b{kernel[2]}"
    return student, name if width == 1 else f"{name}_w{width:g}"


def _fill(encoder: Encoder, account: TensorAccount, code: str) -> None:
    network = encoder.backbone
    patches, tokens = network.get_layer("patch_embed"), network.get_layer("tokens")
    size, _, colors, channels = patches.kernel.shape
    name = "vision_model.embeddings.patch_embedding."
    kernel = account.take(f"{name}weight", (channels, colors, size, size))
    patches.kernel.assign(kernel.transpose(2, 3, 1, 0))
    if patches.use_bias:
        patches.bias.assign(account.take(f"{name}bias", (channels,)))
    side, has_class = tokens.position_grid, tokens.class_token is not None
    name = "vision_model.embeddings.position_embedding.weight"
    positions = account.take(name, (side * side + has_class, channels)).astype(np.float64)
    if has_class:
        own = account.take("vision_model.embeddings.class_embedding", (channels,))
        tokens.class_token.assign(own[np.newaxis] + positions[:1])
        fill_norm(network.get_layer("norm_before"), account, "vision_model.pre_layrnorm.")
    tokens.positions.assign(positions[has_class:].reshape(side, side, channels))
    for index in range(JOINT_BLOCKS):
        block = network.get_layer(f"block{index}")
        _fill_block(block, account, f"vision_model.encoder.layers.{index}.")
    fill_norm(network.get_layer("norm"), account, "vision_model.post_layernorm.")
    if has_class:
        projection = network.get_layer("projection").kernel
        inputs, outputs = projection.shape
        if code == OPENAI:
            projection.assign(account.take("visual.proj", (inputs, outputs)))
        else:
            projection.assign(account.take("visual_projection.weight", (outputs, inputs)).T)
    else:
        _fill_pooling(network.get_layer("pooling"), account, "vision_model.head.")


def _fill_block(block: keras.layers.Layer, account: TensorAccount, name: str) -> None:
    fill_norm(block.norm1, account, f"{name}layer_norm1.")
    fill_norm(block.norm2, account, f"{name}layer_norm2.")
    if f"{name}self_attn.in_proj_weight" in account:
        inputs, outputs = block.qkv.kernel.shape
        block.qkv.kernel.assign(
            account.take(f"{name}self_attn.in_proj_weight", (outputs, inputs)).T
        )
        block.qkv.bias.assign(account.take(f"{name}self_attn.in_proj_bias", (outputs,)))
    else:
        parts = (f"{name}self_attn.{part}_proj." for part in "qkv")
        fill_dense(block.qkv, account, *parts)
    fill_dense(block.project, account, f"{name}self_attn.out_proj.")
    fill_dense(block.expand, account, f"{name}mlp.fc1.")
    fill_dense(block.contract, account, f"{name}mlp.fc2.")


def _fill_pooling(layer: keras.layers.Layer, account: TensorAccount, name: str) -> None:
    channels = int(layer.probe.shape[-1])
    layer.probe.assign(account.take(f"{name}probe", (1, 1, channels))[0])
    kernel = account.take(f"{name}attention.in_proj_weight", (3 * channels, channels)).T
    bias = account.take(f"{name}attention.in_proj_bias", (3 * channels,))
    layer.query.kernel.assign(kernel[:, :channels])
    layer.query.bias.assign(bias[:channels])
    layer.key_value.kernel.assign(kernel[:, channels:])
    layer.key_value.bias.assign(bias[channels:])
    fill_dense(layer.project, account, f"{name}attention.out_proj.")
    fill_norm(layer.norm, account, f"{name}layernorm.")
    fill_dense(layer.expand, account, f"{name}mlp.fc1.")
    fill_dense(layer.contract, account, f"{name}mlp.fc2.")
