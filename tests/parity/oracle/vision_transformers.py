"""Vision transformers of the package `transformers`, with the publishers' rule for positions.

The networks are narrow and shallow. Their weights come in the naming of that package's files, and
in that of the publishers' hubs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
import torch
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ViTConfig,
    ViTModel,
)

from oracle.weights import random_weights

CHANNELS, BLOCKS = 64, 3
SHAPE = {
    "hidden_size": CHANNELS,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 1,
    "layer_norm_eps": 1e-6,
    "attn_implementation": "sdpa",  # the other one rounds to float32
}
ARCHITECTURES = {
    "dino_vits16": "DINO: no LayerScale, positions of 14 x 14 patches",
    "dinov2_vits14": "DINOv2: LayerScale, positions of 37 x 37 patches",
    "dinov2_vits14_reg": "DINOv2 with four registers",
}


def build(architecture: str, grid: int | None = None) -> torch.nn.Module:
    """A narrow network of random float32 weights, in inference mode."""
    if architecture == "dino_vits16":
        size = 16 * (grid or 14)
        network = ViTModel(
            ViTConfig(**SHAPE, image_size=size, patch_size=16, intermediate_size=4 * CHANNELS),
            add_pooling_layer=False,
        )
    else:
        kinds = (Dinov2Config, Dinov2Model)
        if architecture.endswith("_reg"):
            kinds = (Dinov2WithRegistersConfig, Dinov2WithRegistersModel)
        config, model = kinds
        network = model(config(**SHAPE, image_size=14 * (grid or 37), patch_size=14))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    weights = random_weights(shapes)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network.eval()


def tokens(network: torch.nn.Module, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class tokens `(B, C)` and maps of patches `(B, rows, columns, C)` of images."""
    patch, registers = network.config.patch_size, registers_of(network)
    rows, columns = images.shape[1] // patch, images.shape[2] // patch
    embeddings = network.embeddings

    def positions(*_: object) -> torch.Tensor:
        return publishers_positions(embeddings.position_embeddings, rows, columns, registers > 0)

    embeddings.interpolate_pos_encoding = positions
    own = {"interpolate_pos_encoding": True} if isinstance(network, ViTModel) else {}
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        output = network(pixels, **own).last_hidden_state.numpy()
    patches = output[:, 1 + registers :]
    return output[:, 0], patches.reshape(-1, rows, columns, output.shape[-1])


def registers_of(network: torch.nn.Module) -> int:
    return getattr(network.config, "num_register_tokens", 0)


def publishers_positions(
    embeddings: torch.Tensor, rows: int, columns: int, by_size: bool
) -> torch.Tensor:
    """Positions as DINO and DINOv2 interpolate them, in the precision of the embeddings."""
    side = math.isqrt(embeddings.shape[1] - 1)
    if rows == columns == side:
        return embeddings
    grid = embeddings[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if by_size:
        rule = {"size": (rows, columns), "antialias": True}
    else:
        rule = {"scale_factor": ((rows + 0.1) / side, (columns + 0.1) / side)}
    grid = torch.nn.functional.interpolate(grid, mode="bicubic", **rule)
    assert grid.shape[-2:] == (rows, columns)
    grid = grid.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)
    return torch.cat((embeddings[:, :1], grid), dim=1)


def hub_naming(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights in the naming of the publishers' hubs, with query, key and value as one."""
    named = {}
    for name, value in tensors.items():
        if ".attention.attention." not in name:
            named[_hub_name(name)] = value
    layers = {
        int(match[1]) for name in tensors if (match := re.match(r"encoder.layer.(\d+)", name))
    }
    for index in layers:
        for kind in ("weight", "bias"):
            inside = f"encoder.layer.{index}.attention.attention"
            parts = [tensors[f"{inside}.{part}.{kind}"] for part in ("query", "key", "value")]
            named[f"blocks.{index}.attn.qkv.{kind}"] = torch.cat(parts)
    return named


def _hub_name(name: str) -> str:
    first, _, rest = name.partition(".")
    if first == "embeddings":
        rest = rest.replace("patch_embeddings.projection", "patch_embed.proj")
        return rest.replace("position_embeddings", "pos_embed")
    if first == "layernorm":
        return f"norm.{rest}"
    _, index, inside = rest.split(".", 2)
    translated = {
        "norm1": "norm1",
        "norm2": "norm2",
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "attention.output.dense": "attn.proj",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
        "layer_scale1": "ls1",
        "layer_scale2": "ls2",
    }
    part, _, kind = inside.rpartition(".")
    return f"blocks.{index}.{translated[part]}.{kind.replace('lambda1', 'gamma')}"
