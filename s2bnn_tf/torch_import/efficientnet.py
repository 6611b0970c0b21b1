"""EfficientNet-Lite0: how a file of it is recognized, and its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

import tensorflow as tf

from s2bnn_tf.errors import ModelError
from s2bnn_tf.torch_import.network import Network
from s2bnn_tf.torch_import.networks import fill_batch_norm
from s2bnn_tf.torch_import.tensors import TensorAccount, describe_shape

keras = tf.keras

# The tensor by which a network is found, and others that it has.
EFFICIENTNET_STEM = "_conv_stem.weight"
COMPLETE = {EFFICIENTNET_STEM: ("_bn0.running_mean", "_conv_head.weight", "_bn1.running_mean")}
_STEM_SHAPE = (32, 3, 3, 3)
_BLOCKS = 16
_PARTS = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1")}
_PARTS |= {"project": ("_project_conv", "_bn2")}


def recognize_efficientnet(backbone: Mapping[str, tuple[int, ...]]) -> Network:
    """Recognize an EfficientNet, of which only Lite0 can be imported.

    Args:
        backbone: Shapes by the names of `efficientnet_pytorch` and `efficientnet_lite_pytorch`.

    Raises:
        ModelError: If it is another one; the message describes it.
    """
    found = (re.match(r"_blocks\.([0-9]+)\.", name) for name in backbone)
    blocks = len({match[1] for match in found if match})
    stem = backbone[EFFICIENTNET_STEM]
    excited = any("._se_reduce." in name for name in backbone)
    if excited or blocks != _BLOCKS or stem != _STEM_SHAPE:
        raise ModelError(
            f"The file looks like an EfficientNet {'with' if excited else 'without'} "
            f"squeeze-and-excitation, of {blocks} blocks and with a first kernel of "
            f"{describe_shape(stem)}; EfficientNet-Lite0, which can be imported, has none, "
            f"{_BLOCKS} blocks, and {describe_shape(_STEM_SHAPE)}."
        )
    return Network("efficientnet_lite0", 1.0, None)


def fill_efficientnet(backbone: keras.Model, tensors: TensorAccount, prefix: str) -> None:
    """Fill EfficientNet-Lite0. Its code pads as TensorFlow does, so that no kernel is rotated."""
    for layer in backbone.layers:
        if not layer.weights:
            continue
        name = prefix + _publishers_name(layer.name)
        if isinstance(layer, keras.layers.BatchNormalization):
            fill_batch_norm(layer, tensors, [name])
            continue
        is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = layer.depthwise_kernel if is_depthwise else layer.kernel
        order = (2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0)
        shape = [0] * 4
        for ours, theirs in enumerate(order):
            shape[theirs] = kernel.shape[ours]
        kernel.assign(tensors.take(f"{name}.weight", tuple(shape)).transpose(order))


def _publishers_name(name: str) -> str:
    """The name that the publisher gives a layer of our EfficientNet.

    >>> _publishers_name("block3_depthwise_bn"), _publishers_name("head_conv")
    ('_blocks.3._bn1', '_conv_head')
    """
    first, *part, kind = name.split("_")
    if not part:
        return {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}[first][kind == "bn"]
    return f"_blocks.{first.removeprefix('block')}.{_PARTS[part[0]][kind == 'bn']}"
