"""Networks from images to features, by name, and the head from features to embeddings."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.backbones import mobilenet as _mobilenet  # noqa: F401  (registers it)
from s2bnn_tf.backbones import zoo as _zoo  # noqa: F401  (registers the networks of Larq Zoo)
from s2bnn_tf.backbones.bnext import Recoupling
from s2bnn_tf.backbones.convnext import CONVNEXT_SIZES
from s2bnn_tf.backbones.efficientnet import efficientnet_lite0
from s2bnn_tf.backbones.heads import DEFAULT_HEAD, Encoder, projection_head
from s2bnn_tf.backbones.joint_resnet import (
    CLIP_RESNET_BLOCKS,
    CLIP_RESNET_EMBEDDING,
    clip_resnet50,
)
from s2bnn_tf.backbones.joint_vit import (
    JOINT_BLOCKS,
    JOINT_CHANNELS,
    clip_vit_base,
    siglip_vit_base,
)
from s2bnn_tf.backbones.maps import last_maps, reverses_image
from s2bnn_tf.backbones.quicknet import QUICKNET_SIZES
from s2bnn_tf.backbones.reactnet import reactnet
from s2bnn_tf.backbones.registry import (
    backbone_names,
    backbone_options,
    backbone_plugin,
    build_backbone,
    register_backbone,
)
from s2bnn_tf.backbones.resnet import resnet18, resnet34, resnet50
from s2bnn_tf.backbones.reversal import ReverseImage
from s2bnn_tf.backbones.vit import (
    CHANNELS_PER_HEAD,
    VIT_SIZES,
    is_vit,
    vit_base,
    vit_large,
    vit_small,
    with_output,
)

__all__ = [
    "CHANNELS_PER_HEAD",
    "CLIP_RESNET_BLOCKS",
    "CLIP_RESNET_EMBEDDING",
    "CONVNEXT_SIZES",
    "DEFAULT_HEAD",
    "JOINT_BLOCKS",
    "JOINT_CHANNELS",
    "QUICKNET_SIZES",
    "VIT_SIZES",
    "Encoder",
    "Recoupling",
    "ReverseImage",
    "backbone_names",
    "backbone_options",
    "backbone_plugin",
    "build_backbone",
    "clip_resnet50",
    "clip_vit_base",
    "efficientnet_lite0",
    "is_vit",
    "last_maps",
    "projection_head",
    "reactnet",
    "register_backbone",
    "resnet18",
    "resnet34",
    "resnet50",
    "reverses_image",
    "siglip_vit_base",
    "vit_base",
    "vit_large",
    "vit_small",
    "with_output",
]
