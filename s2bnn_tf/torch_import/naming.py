"""The names that publishers give the parts of a checkpoint, and the network they describe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from s2bnn_tf.errors import ModelError
from s2bnn_tf.torch_import.efficientnet import EFFICIENTNET_STEM, recognize_efficientnet
from s2bnn_tf.torch_import.head_names import leading_number
from s2bnn_tf.torch_import.network import NONE_KNOWN, Network
from s2bnn_tf.torch_import.tensors import describe_shape
from s2bnn_tf.torch_import.vision_transformers import PATCHES, recognize_vit
from s2bnn_tf.torch_import.words import few

# Reasons to ignore a tensor; imported.json has them as keys.
_LOSS = "a part of the loss, which training in another way does not need"
_PREDICTOR = "the predictor, which only its own training needs"
MOMENTUM_UNUSED = "a momentum encoder without a queue, from which nothing here continues"

# The children of a torchvision ResNet that have weights, in order; lightly numbers them.
_RESNET_PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
_RESNETS: dict[tuple[bool, tuple[int, ...]], str] = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
}
_RESNET_BASE, _REACTNET_BASE = 64, 32
_REACTNET_BLOCKS = 13
_IMAGENET_STEM, _SMALL_STEM = 7, 3  # sizes of the first kernel
_WIDEST = 4  # SwAV's; a file that claims more would take any amount of memory


@dataclass(frozen=True)
class Naming:
    """The names of the parts of a network in the checkpoints of one publisher.

    Attributes:
        publisher: The name of the publisher.
        marks: Prefixes by which such a file is recognized; all of them occur in it.
        encoder: The prefix of the backbone.
        head: The prefix of the head, within or beside the backbone.
        classifies: Whether a head of one linear layer is a classifier.
        activation: The activation between the linear layers of the head, since it has no
            tensors that would show it.
        momentum: The prefixes of backbone and head of the momentum encoder.
        queue: The names of the keys and of the position.
        ignored: Prefixes of tensors that are not needed, each with the reason.
    """

    publisher: str
    marks: tuple[str, ...]
    encoder: str
    head: str
    classifies: bool = False
    activation: str = "relu"
    momentum: tuple[str, str] | None = None
    queue: tuple[str, str] | None = None
    ignored: dict[str, str] = field(default_factory=dict)

    def publisher_of(self, network: Network) -> str:
        """The publisher of a file; some networks are of one, whatever its parts are named."""
        if network.vit is not None:
            return "DINOv2" if network.vit.layer_scale else "DINO"
        if network.backbone == "efficientnet_lite0":
            return "efficientnet_lite_pytorch"
        return "S2-BNN" if network.backbone == "reactnet" else self.publisher

    def below(self, root: str) -> Naming:
        """The same naming, where all names have another prefix in front of them."""

        def put(names: tuple[str, str] | None) -> tuple[str, str] | None:
            return names and (root + names[0], root + names[1])

        return replace(
            self,
            marks=tuple(root + mark for mark in self.marks),
            encoder=root + self.encoder,
            head=root + self.head,
            momentum=put(self.momentum),
            queue=put(self.queue),
            ignored={root + prefix: reason for prefix, reason in self.ignored.items()},
        )

    def explains(self, names: list[str], networks: list[str]) -> bool:
        """Whether a file has the marks of this naming, its head, and no network beside those."""
        its_others = (*(self.momentum or ())[:1], *self.ignored)
        return (
            all(any(name.startswith(mark) for name in names) for mark in self.marks)
            and all(net == self.encoder or net.startswith(its_others) for net in networks)
            and (
                any(name.startswith(self.head) for name in names)
                or not any(name.startswith(f"{self.encoder}fc.") for name in names)
            )
        )


# The first one that has all its marks in the file is taken.
NAMINGS = (
    Naming(
        "MoCo v1 or v2",
        ("encoder_q.",),
        "encoder_q.",
        "encoder_q.fc.",
        momentum=("encoder_k.", "encoder_k.fc."),
        queue=("queue", "queue_ptr"),
    ),
    Naming(
        "MoCo v3",
        ("base_encoder.",),
        "base_encoder.",
        "base_encoder.fc.",
        ignored={"predictor.": _PREDICTOR, "momentum_encoder.": MOMENTUM_UNUSED},
    ),
    Naming(
        "SimSiam",
        ("encoder.", "predictor."),
        "encoder.",
        "encoder.fc.",
        ignored={"predictor.": _PREDICTOR},
    ),
    Naming(
        "DINO",
        ("backbone.", "head.mlp."),
        "backbone.",
        "head.mlp.",
        activation="gelu",
        ignored={"head.last_layer.": _LOSS},
    ),
    Naming(
        "Barlow Twins",
        ("backbone.", "projector."),
        "backbone.",
        "projector.",
        ignored={"bn.": _LOSS},
    ),
    Naming(
        "lightly",
        ("backbone.",),
        "backbone.",
        "projection_head.layers.",
        momentum=("backbone_momentum.", "projection_head_momentum.layers."),
        queue=("criterion.memory_bank.bank", "criterion.memory_bank.bank_ptr"),
        ignored={
            "prediction_head.": _PREDICTOR,
            "prototypes.": _LOSS,
            "criterion.": _LOSS,
            "backbone_momentum.": MOMENTUM_UNUSED,
            "projection_head_momentum.": MOMENTUM_UNUSED,
        },
    ),
    Naming("SwAV", ("projection_head.",), "", "projection_head.", ignored={"prototypes": _LOSS}),
    # The key encoder alone, where another prefix than the first one's was asked for.
    Naming("MoCo v1 or v2", ("encoder_k.",), "encoder_k.", "encoder_k.fc."),
    Naming("MoCo v3", ("momentum_encoder.",), "momentum_encoder.", "momentum_encoder.fc."),
    Naming("efficientnet_lite_pytorch", (EFFICIENTNET_STEM,), "", "_fc.", classifies=True),
    # Others also save a backbone alone, or with a linear classifier, under these names.
    Naming("torchvision", (), "", "fc.", classifies=True),
)


def recognize_naming(names: list[str], networks: list[str]) -> Naming | None:
    """Find the naming of a file by its marks; without any mark, it is that of torchvision.

    Args:
        names: The names of all tensors that are in question.
        networks: The prefixes of the networks among them.

    Returns:
        The naming with the prefixes that the file has, or None if it explains only some of the
        networks, and one of them must be chosen.
    """
    for naming in NAMINGS:
        for network in networks:
            root = network.removesuffix(naming.encoder)
            if network != root + naming.encoder or root[-1:] not in ("", "."):
                continue
            here = naming.below(root)
            if here.explains(names, networks):
                return here
    return None


def torchvision_name(name: str, numbers: list[int]) -> str:
    """Translate the name of a backbone's tensor from lightly to torchvision.

    >>> torchvision_name("4.0.shortcut.1.bias", [0, 1, 4, 5, 6, 7])
    'layer1.0.downsample.1.bias'

    Args:
        name: The name without the prefix of the backbone.
        numbers: The leading numbers of all such names, in order, see `leading_numbers`.
    """
    first, _, rest = name.partition(".")
    number = leading_number(first)
    if number is not None and len(numbers) == len(_RESNET_PARTS):
        name = f"{_RESNET_PARTS[numbers.index(number)]}.{rest}"
    return name.replace(".shortcut.", ".downsample.")


def leading_numbers(names: list[str]) -> list[int]:
    """The numbers at the beginning of these names, each once and in order."""
    found = (leading_number(name.partition(".")[0]) for name in names)
    return sorted({number for number in found if number is not None})


def recognize_network(backbone: Mapping[str, tuple[int, ...]]) -> Network:
    """Recognize the network that these tensors belong to.

    Args:
        backbone: Shapes by the names of torchvision or ReActNet.

    Raises:
        ModelError: If it cannot be imported; the message describes the network.
    """
    if "feature.0.conv1.weight" in backbone:
        return _recognize_reactnet(backbone)
    if "conv1.weight" in backbone and "layer1.0.conv1.weight" in backbone:
        return _recognize_resnet(backbone)
    if PATCHES in backbone:
        return recognize_vit(backbone)
    if EFFICIENTNET_STEM in backbone:
        return recognize_efficientnet(backbone)
    raise ModelError(
        f"The file holds {NONE_KNOWN} (its first "
        f"tensors are {few(list(backbone)[:3]) or 'none'}): no other network can be imported."
    )


def _recognize_reactnet(backbone: Mapping[str, tuple[int, ...]]) -> Network:
    blocks = {name.split(".")[1] for name in backbone if name.startswith("feature.")}
    if len(blocks) != 1 + _REACTNET_BLOCKS:
        raise ModelError(
            f"The file looks like a ReActNet of {len(blocks) - 1} blocks; ReActNet-A, which can "
            f"be imported, has {_REACTNET_BLOCKS}."
        )
    stem = _kernel_shape(backbone, "feature.0.conv1.weight")
    return Network("reactnet", _width(stem[0], _REACTNET_BASE), "imagenet")


def _recognize_resnet(backbone: Mapping[str, tuple[int, ...]]) -> Network:
    bottleneck = "layer1.0.conv3.weight" in backbone
    depths = tuple(_depth(backbone, stage) for stage in (1, 2, 3, 4))
    stem = _kernel_shape(backbone, "conv1.weight")
    looks = f"a ResNet of {'bottlenecks' if bottleneck else 'basic blocks'} {depths}"
    name = _RESNETS.get((bottleneck, depths))
    inner = _kernel_shape(backbone, "layer1.0.conv1.weight")[0]
    if name is None or inner != stem[0] or stem[-1] not in (_IMAGENET_STEM, _SMALL_STEM):
        if name is not None and inner != stem[0]:
            looks = f"{name} of inner width {inner} (torchvision's wide_resnet or resnext)"
        raise ModelError(
            f"The file looks like {looks}; what can be imported is {', '.join(_RESNETS.values())} "
            "and resnet50 with all channels doubled or quadrupled."
        )
    small = stem[-1] == _SMALL_STEM
    return Network(name, _width(stem[0], _RESNET_BASE), "small" if small else "imagenet")


def _kernel_shape(backbone: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, ...]:
    shape = backbone[name]
    if len(shape) != 4:
        raise ModelError(
            f"{name} is {describe_shape(shape)} and not the kernel of a convolution, which has "
            "four dimensions: the file is damaged, or another network's."
        )
    return shape


def _width(channels: int, base: int) -> float:
    if not 0 < channels <= _WIDEST * base:
        raise ModelError(
            f"The file looks like a network whose first convolution has {channels} channels; those "
            f"that can be imported have 1 to {_WIDEST * base}."
        )
    return channels / base


def _depth(backbone: Mapping[str, tuple[int, ...]], stage: int) -> int:
    found = (re.match(rf"layer{stage}\.([0-9]+)\.", name) for name in backbone)
    return len({match[1] for match in found if match})
