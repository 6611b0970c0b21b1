"""ConvNeXt V2: its names in two codes, the size that they describe, and its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from s2bnn_tf.backbones import CONVNEXT_SIZES
from s2bnn_tf.errors import ModelError
from s2bnn_tf.torch_import.network import Network
from s2bnn_tf.torch_import.tensors import TensorAccount, describe_shape

keras = tf.keras

# A variable, and the order of the axes of its tensor, or None for a vector; by the tensor's name.
Parts = dict[str, tuple[tf.Variable, tuple[int, ...] | None]]

# The tensors by which a network is found, in the publisher's names and in Hugging Face's.
CONVNEXT_STEM = "downsample_layers.0.0.weight"
_HUGGING_FACE_STEM = "embeddings.patch_embeddings.weight"
COMPLETE = {
    CONVNEXT_STEM: ("stages.0.0.dwconv.weight", "stages.0.0.pwconv1.weight"),
    _HUGGING_FACE_STEM: (
        "encoder.stages.0.layers.0.dwconv.weight",
        "encoder.stages.0.layers.0.pwconv1.weight",
    ),
}
_RENAMED = (
    (r"embeddings\.patch_embeddings\.", "downsample_layers.0.0."),
    (r"embeddings\.layernorm\.", "downsample_layers.0.1."),
    (r"layernorm\.", "norm."),
    (r"encoder\.stages\.([0-9]+)\.downsampling_layer\.", r"downsample_layers.\1."),
    (r"encoder\.stages\.([0-9]+)\.layers\.", r"stages.\1."),
    (r"(stages\.[0-9]+\.[0-9]+\.)layernorm\.", r"\1norm."),
    (r"(stages\.[0-9]+\.[0-9]+\.)grn\.weight$", r"\1grn.gamma"),
    (r"(stages\.[0-9]+\.[0-9]+\.)grn\.bias$", r"\1grn.beta"),
)
_PATTERNS = [(re.compile(pattern, re.ASCII), new) for pattern, new in _RENAMED]


def convnext_name(name: str) -> str:
    """Translate the name of a tensor from Hugging Face's files into that of the publisher's.

    >>> convnext_name("encoder.stages.1.layers.0.layernorm.bias")
    'stages.1.0.norm.bias'
    """
    for pattern, new in _PATTERNS:
        match = pattern.match(name)
        if match:
            name = match.expand(new) + name[match.end() :]
    return name


def recognize_convnext(backbone: Mapping[str, tuple[int, ...]]) -> Network:
    """Recognize a ConvNeXt V2 by its blocks and channels.

    Args:
        backbone: Shapes by the publisher's names.

    Raises:
        ModelError: If it cannot be imported; the message describes it.
    """
    stem = backbone[CONVNEXT_STEM]
    found = (re.match(r"stages\.([0-3])\.([0-9]+)\.", name) for name in backbone)
    pairs = {(match[1], match[2]) for match in found if match}
    blocks = tuple(sum(stage == str(i) for stage, _ in pairs) for i in range(4))
    if "stages.0.0.grn.gamma" not in backbone:
        raise ModelError(
            "The file looks like a ConvNeXt of the first version, without global response "
            "normalization; those of ConvNeXt V2 can be imported."
        )
    for name, size in CONVNEXT_SIZES.items():
        if (stem, blocks) == ((size.channels, 3, 4, 4), size.blocks):
            return Network(name, 1.0, None)
    known = ", ".join(f"{s.blocks} with {s.channels}" for s in CONVNEXT_SIZES.values())
    raise ModelError(
        f"The file looks like a ConvNeXt V2 of {blocks} blocks with a first kernel of "
        f"{describe_shape(stem)}; those that can be imported have {known} channels."
    )


def fill_convnext(backbone: keras.Model, tensors: TensorAccount, prefix: str) -> None:
    """Fill a ConvNeXt V2 from tensors with the publisher's names.

    What was trained by masked pictures alone has no last normalization, which is then without
    scale and shift.
    """
    for layer in backbone.layers:
        if not layer.weights:
            continue
        name = f"{prefix}{_publishers_name(layer.name)}"
        if isinstance(layer, keras.layers.LayerNormalization):
            if layer.name == "norm" and not tensors.names(name):
                layer.gamma.assign(np.ones(layer.gamma.shape))
                layer.beta.assign(np.zeros(layer.beta.shape))
                continue
            parts: Parts = {"weight": (layer.gamma, None), "bias": (layer.beta, None)}
        elif layer.name.endswith("_grn"):
            parts = {"gamma": (layer.gamma, None), "beta": (layer.beta, None)}
        elif layer.name.endswith("_depthwise"):
            parts = {"weight": (layer.depthwise_kernel, (2, 3, 0, 1)), "bias": (layer.bias, None)}
        else:
            axes = (2, 3, 1, 0) if len(layer.kernel.shape) == 4 else (1, 0)
            parts = {"weight": (layer.kernel, axes), "bias": (layer.bias, None)}
        for part, (variable, order) in parts.items():
            _fill(variable, tensors, f"{name}.{part}", order)


def _fill(
    variable: tf.Variable, tensors: TensorAccount, name: str, order: tuple[int, ...] | None
) -> None:
    """Fill a variable, whose axes are those of the tensor in this order; None for a vector."""
    if order is None:
        channels = variable.shape[0]
        shape: tuple[int, ...] = (channels,)
        if ".grn." in name and name in tensors and math.prod(tensors.shape(name)) == channels:
            shape = tensors.shape(name)  # with axes of 1 before it, one or three
        variable.assign(tensors.take(name, shape).reshape(channels))
        return
    theirs = tuple(variable.shape[order.index(axis)] for axis in range(len(order)))
    variable.assign(tensors.take(name, theirs).transpose(order))


def _publishers_name(name: str) -> str:
    """The name that the publisher gives a layer of our ConvNeXt.

    >>> _publishers_name("stage2_5_expand"), _publishers_name("down0_norm")
    ('stages.2.5.pwconv1', 'downsample_layers.0.1')
    """
    if name.startswith("down"):
        stage, kind = name.removeprefix("down").split("_")
        # The stem normalizes after its convolution, and the others before.
        return f"downsample_layers.{stage}.{int((kind == 'norm') == (stage == '0'))}"
    if name == "norm":
        return name
    stage, block, part = name.removeprefix("stage").split("_")
    part = {"depthwise": "dwconv", "expand": "pwconv1", "contract": "pwconv2"}.get(part, part)
    return f"stages.{stage}.{block}.{part}"
