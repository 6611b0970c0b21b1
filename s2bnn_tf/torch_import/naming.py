"""The names that publishers give the parts of a checkpoint, and the network they describe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from s2bnn_tf.errors import ModelError

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
_FEATURES = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "reactnet": 1024}
_RESNET_BASE, _REACTNET_BASE = 64, 32
_REACTNET_BLOCKS = 13
_IMAGENET_STEM, _SMALL_STEM = 7, 3  # sizes of the first kernel


@dataclass(frozen=True)
class Network:
    """The network that the names and shapes of a backbone describe.

    Attributes:
        backbone: Its name in the registry.
        width: The factor on its channel counts.
        stem: `"imagenet"` or `"small"`.
    """

    backbone: str
    width: float
    stem: str

    @property
    def architecture(self) -> str:
        """The name that `--architecture` takes: `resnet50`, `resnet50_w4`, `reactnet`."""
        return self.backbone if self.width == 1 else f"{self.backbone}_w{self.width:g}"

    @property
    def features(self) -> int:
        """The number of channels C of its features."""
        return round(_FEATURES[self.backbone] * self.width)


@dataclass(frozen=True)
class Naming:
    """The names of the parts of a network in the checkpoints of one publisher.

    Attributes:
        publisher: The name of the publisher.
        marks: Prefixes by which such a file is recognized; all of them occur in it.
        encoder: The prefix of the backbone.
        head: The prefix of the head, within or beside the backbone.
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
    activation: str = "relu"
    momentum: tuple[str, str] | None = None
    queue: tuple[str, str] | None = None
    ignored: dict[str, str] = field(default_factory=dict)

    def publisher_of(self, network: Network) -> str:
        """The publisher of a file; a ReActNet is from S2-BNN, whatever its parts are named."""
        return "S2-BNN" if network.backbone == "reactnet" else self.publisher


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
    Naming("SimSiam", ("encoder.",), "encoder.", "encoder.fc.", ignored={"predictor.": _PREDICTOR}),
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
    # Others also save a backbone alone, or with a linear classifier, under these names.
    Naming("torchvision", (), "", "fc."),
)


def recognize_naming(names: list[str]) -> Naming:
    """Find the naming of a file by its marks; without any mark, it is that of torchvision."""
    return next(
        naming
        for naming in NAMINGS
        if all(any(name.startswith(mark) for name in names) for mark in naming.marks)
    )


def torchvision_name(name: str, numbers: list[int]) -> str:
    """Translate the name of a backbone's tensor from lightly to torchvision.

    >>> torchvision_name("4.0.shortcut.1.bias", [0, 1, 4, 5, 6, 7])
    'layer1.0.downsample.1.bias'

    Args:
        name: The name without the prefix of the backbone.
        numbers: The leading numbers of all such names, in order, see `leading_numbers`.
    """
    number, _, rest = name.partition(".")
    if number.isdigit() and len(numbers) == len(_RESNET_PARTS):
        name = f"{_RESNET_PARTS[numbers.index(int(number))]}.{rest}"
    return name.replace(".shortcut.", ".downsample.")


def leading_numbers(names: list[str]) -> list[int]:
    """The numbers at the beginning of these names, each once and in order."""
    found = (name.partition(".")[0] for name in names)
    return sorted({int(number) for number in found if number.isdigit()})


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
    raise ModelError(
        "The file holds neither a ResNet nor a ReActNet (its first tensors are "
        f"{', '.join(list(backbone)[:3]) or 'none'}): no other network can be imported."
    )


def _recognize_reactnet(backbone: Mapping[str, tuple[int, ...]]) -> Network:
    blocks = {name.split(".")[1] for name in backbone if name.startswith("feature.")}
    if len(blocks) != 1 + _REACTNET_BLOCKS:
        raise ModelError(
            f"The file looks like a ReActNet of {len(blocks) - 1} blocks; ReActNet-A, which can "
            f"be imported, has {_REACTNET_BLOCKS}."
        )
    width = backbone["feature.0.conv1.weight"][0] / _REACTNET_BASE
    return Network("reactnet", width, "imagenet")


def _recognize_resnet(backbone: Mapping[str, tuple[int, ...]]) -> Network:
    bottleneck = "layer1.0.conv3.weight" in backbone
    depths = tuple(_depth(backbone, stage) for stage in (1, 2, 3, 4))
    stem = backbone["conv1.weight"]
    looks = f"a ResNet of {'bottlenecks' if bottleneck else 'basic blocks'} {depths}"
    name = _RESNETS.get((bottleneck, depths))
    inner = backbone["layer1.0.conv1.weight"][0]
    if name is None or inner != stem[0] or stem[-1] not in (_IMAGENET_STEM, _SMALL_STEM):
        if name is not None and inner != stem[0]:
            looks = f"{name} of inner width {inner} (torchvision's wide_resnet or resnext)"
        raise ModelError(
            f"The file looks like {looks}; what can be imported is {', '.join(_RESNETS.values())} "
            "and resnet50 with all channels doubled or quadrupled."
        )
    small = stem[-1] == _SMALL_STEM
    return Network(name, stem[0] / _RESNET_BASE, "small" if small else "imagenet")


def _depth(backbone: Mapping[str, tuple[int, ...]], stage: int) -> int:
    found = (re.match(rf"layer{stage}\.(\d+)\.", name) for name in backbone)
    return len({match[1] for match in found if match})


def head_layers(shapes: Mapping[str, tuple[int, ...]], activation: str) -> list[tuple[str, str]]:
    """Derive the layers of a head from the tensors of its `nn.Sequential`.

    >>> head_layers({"0.weight": (8, 8), "0.bias": (8,), "2.weight": (4, 8)}, "relu")
    [('linear', '0.'), ('relu', ''), ('linear', '2.')]

    Args:
        shapes: Shapes by name within the head; a single linear layer has no number.
        activation: The activation before every linear layer but the first.

    Returns:
        The words that `projection_head` takes, each with the prefix of its tensors.
    """
    layers: list[tuple[str, str]] = []
    prefixes = {name.rpartition(".")[0] for name in shapes}
    for prefix in sorted(prefixes, key=lambda prefix: int(prefix) if prefix.isdigit() else -1):
        prefix = prefix and f"{prefix}."
        linear = len(shapes.get(f"{prefix}weight", ())) == 2
        if linear and layers:
            layers.append((activation, ""))
        layers.append(("linear" if linear else "bn", prefix))
    return layers
