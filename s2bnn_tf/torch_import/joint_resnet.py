"""The image tower of CLIP with ResNet-50, by OpenAI's names, which open_clip has too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import CLIP_RESNET_BLOCKS, CLIP_RESNET_EMBEDDING, Encoder
from s2bnn_tf.config import StudentConfig
from s2bnn_tf.errors import ModelError
from s2bnn_tf.image_size import ImageSize
from s2bnn_tf.torch_import.assembly import Imported
from s2bnn_tf.torch_import.joint_towers import import_tower
from s2bnn_tf.torch_import.networks import fill_batch_norm, resnet_name
from s2bnn_tf.torch_import.tensors import TensorAccount, describe_shape
from s2bnn_tf.torch_import.vision_transformers import fill_dense

keras = tf.keras

_POSITIONS = "visual.attnpool.positional_embedding"
_USUAL_CHANNELS, _LARGEST_GRID = 64, 64


def is_joint_resnet(tensors: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the tensors are those of a CLIP with a ResNet."""
    return _prefix(tensors) is not None


def import_joint_resnet(
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
    prefix = _prefix(tensors)
    assert prefix is not None
    account = TensorAccount({name.removeprefix(prefix): t for name, t in tensors.items()})
    student, name = _recognize(account)
    return import_tower(
        account,
        student,
        name,
        _fill,
        own=("visual.",),
        named_as="OpenAI",
        prefix=prefix,
        architecture=architecture,
        step=step,
        data=data,
        image_size=image_size,
    )


def _prefix(tensors: Mapping[str, NDArray[Any]]) -> str | None:
    """What comes before the names; None if there is no such tower, or more than one."""
    found = [name.removesuffix(_POSITIONS) for name in tensors if name.endswith(_POSITIONS)]
    return found[0] if len(found) == 1 else None


def _recognize(account: TensorAccount) -> tuple[StudentConfig, str]:
    """The recipe of the tower that the shapes describe, and its name."""
    positions = account.shape(_POSITIONS)
    name = "visual.conv1.weight"
    stem = account.shape(name) if name in account else ()
    side = math.isqrt(max(positions[0] - 1, 0)) if len(positions) == 2 else 0
    base = 2 * stem[0] if len(stem) == 4 else 0
    blocks = tuple(
        len({n.split(".")[2] for n in account.names(f"visual.layer{stage}.")})
        for stage in (1, 2, 3, 4)
    )
    fits = positions == (side * side + 1, 32 * base) and 0 < base <= _USUAL_CHANNELS
    if blocks != CLIP_RESNET_BLOCKS or not fits or not 0 < side <= _LARGEST_GRID:
        raise ModelError(
            f"The file looks like the image tower of a CLIP with a ResNet of {blocks} blocks, a "
            f"stem {describe_shape(stem)} and positions {describe_shape(positions)}; the one that "
            f"can be imported is ResNet-50, with {CLIP_RESNET_BLOCKS} blocks."
        )
    width = base / _USUAL_CHANNELS
    student = StudentConfig(
        backbone="clip_resnet50",
        width=None if width == 1 else width,
        position_grid=side,
        embedding_dim=CLIP_RESNET_EMBEDDING,
        head="none",
    )
    return student, "clip_rn50" if width == 1 else f"clip_rn50_w{width:g}"


def _fill(encoder: Encoder, account: TensorAccount) -> None:
    for layer in encoder.backbone.layers:
        if isinstance(layer, keras.layers.Conv2D):
            height, width, inputs, outputs = layer.kernel.shape
            name = f"visual.{_theirs(layer.name)}.weight"
            kernel = account.take(name, (outputs, inputs, height, width))
            layer.kernel.assign(kernel.transpose(2, 3, 1, 0))
        elif isinstance(layer, keras.layers.BatchNormalization):
            fill_batch_norm(layer, account, [f"visual.{_theirs(layer.name)}"])
    pooling = encoder.backbone.get_layer("pooling")
    side, _, channels = pooling.tokens.positions.shape
    positions = account.take(_POSITIONS, (side * side + 1, channels)).astype(np.float64)
    pooling.mean_position.assign(positions[:1])
    pooling.tokens.positions.assign(positions[1:].reshape(side, side, channels))
    fill_dense(pooling.query, account, "visual.attnpool.q_proj.")
    fill_dense(pooling.key_value, account, "visual.attnpool.k_proj.", "visual.attnpool.v_proj.")
    fill_dense(pooling.project, account, "visual.attnpool.c_proj.")


def _theirs(name: str) -> str:
    """OpenAI's name of a layer.

    >>> _theirs("stem2_bn"), _theirs("layer2_0_shortcut_conv")
    ('bn2', 'layer2.0.downsample.0')
    """
    if name.startswith("stem"):
        number, kind = name.removeprefix("stem").split("_")
        return f"{kind}{number}"
    return resnet_name(name)
