"""ConvNeXt V2 of the package `transformers`, shallow, and its weights in the publisher's naming."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from transformers import ConvNextV2Config, ConvNextV2Model

from oracle.publishers import fill

CHANNELS, BLOCKS = 40, (1, 2, 1, 1)


def build() -> ConvNextV2Model:
    """A shallow network of random float32 weights, in inference mode."""
    sizes = [CHANNELS * 2**stage for stage in range(4)]
    # As the publisher has it; the package's default is 1e-12 for the last normalization.
    config = ConvNextV2Config(hidden_sizes=sizes, depths=list(BLOCKS), layer_norm_eps=1e-6)
    return fill(ConvNextV2Model(config))


def features(network: ConvNextV2Model, images: np.ndarray) -> np.ndarray:
    """The features `(B, C)` of images `(B, H, W, 3)`."""
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        return network(pixels).pooler_output.numpy()


def publishers_naming(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights in the naming of facebookresearch/ConvNeXt-V2."""
    rules = (
        (r"^layernorm\.", "norm."),
        (r"^embeddings\.patch_embeddings\.", "downsample_layers.0.0."),
        (r"^embeddings\.layernorm\.", "downsample_layers.0.1."),
        (r"^encoder\.stages\.(\d)\.downsampling_layer\.", r"downsample_layers.\1."),
        (r"^encoder\.stages\.(\d)\.layers\.", r"stages.\1."),
        (r"\.layernorm\.", ".norm."),
        (r"\.grn\.weight", ".grn.gamma"),
        (r"\.grn\.bias", ".grn.beta"),
    )
    named = {}
    for name, value in tensors.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        named[name] = value
    return named
