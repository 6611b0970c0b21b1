"""Checkpoints as their publishers write them, each with the network that it belongs to.

Names and structure are the published ones; the networks are narrow.
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from oracle.networks import ReActNet, ResNet, mlp
from oracle.weights import random_weights

WIDTH = 0.125


@dataclass(frozen=True)
class Published:
    """The content of a file, and the result that an importer should return.

    Attributes:
        content: The content, for `torch.save`.
        network: The network from images to embeddings before normalization, in inference mode.
        named_as: The name of the publisher.
        backbone: The name of the backbone in s2bnn_tf.
        head: The head in the words of `projection_head`.
        ignored: The number of tensors that an import ignores.
    """

    content: Any
    network: nn.Module
    named_as: str
    backbone: str
    head: str
    ignored: int


def fill(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fill a module with random weights like those of training, and set inference mode."""
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    weights = random_weights(shapes, seed)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return module.eval()


def prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


class MoCo(nn.Module):
    """Encoders and queue, as MoCo v1, v2 and S2-BNN keep them."""

    def __init__(self, encoder_q: nn.Module, encoder_k: nn.Module, dim: int, size: int):
        super().__init__()
        self.encoder_q, self.encoder_k = encoder_q, encoder_k
        self.register_buffer("queue", torch.zeros(dim, size))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))


def training_file(tensors: Mapping[str, torch.Tensor], **others) -> dict[str, Any]:
    """A checkpoint as the training scripts of MoCo save it: epoch, weights and optimizer."""
    return {
        "epoch": 200,
        "arch": "resnet50",
        "state_dict": OrderedDict(tensors),
        "best_acc1": torch.tensor(71.1),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.03}]},
        **others,
    }


def batches_seen(module: nn.Module) -> int:
    return sum(name.endswith("num_batches_tracked") for name in module.state_dict())


def torchvision(depth: int = 18) -> Published:
    network = fill(ResNet(depth, width=WIDTH, fc=nn.Linear(512 // 8 if depth < 50 else 256, 10)))
    tensors = network.state_dict()
    network.fc = nn.Identity()
    return Published(
        tensors, network, "torchvision", f"resnet{depth}", "none", batches_seen(network)
    )


def moco_v1() -> Published:
    """The published files hold the query encoder alone."""
    network = fill(ResNet(18, width=WIDTH, fc=nn.Linear(64, 16)))
    content = training_file(prefixed("module.encoder_q.", network.state_dict()))
    return Published(content, network, "MoCo v1 or v2", "resnet18", "linear", batches_seen(network))


def moco_v2() -> Published:
    network = fill(ResNet(50, width=WIDTH, fc=mlp(256, 16)))
    content = training_file(prefixed("module.encoder_q.", network.state_dict()))
    head = "linear relu linear"
    return Published(content, network, "MoCo v1 or v2", "resnet50", head, batches_seen(network))


def moco_v3() -> Published:
    head = nn.Sequential(
        nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(),
        nn.Linear(32, 16, bias=False), nn.BatchNorm1d(16, affine=False),
    )  # fmt: skip
    network = fill(ResNet(18, width=WIDTH, fc=head))
    tensors = prefixed("module.base_encoder.", network.state_dict())
    tensors |= prefixed("module.momentum_encoder.", network.state_dict())
    tensors |= prefixed("module.predictor.", nn.Linear(16, 16, bias=False).state_dict())
    ignored = batches_seen(network) + len(network.state_dict()) + 1
    content = training_file(tensors)
    return Published(content, network, "MoCo v3", "resnet18", "linear bn relu linear bn", ignored)


def simsiam() -> Published:
    head = nn.Sequential(
        nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Linear(64, 16), nn.BatchNorm1d(16, affine=False),
    )  # fmt: skip
    network = fill(ResNet(18, width=WIDTH, fc=head))
    predictor = nn.Sequential(nn.Linear(16, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU())
    tensors = prefixed("module.encoder.", network.state_dict())
    tensors |= prefixed("module.predictor.", predictor.state_dict())
    ignored = batches_seen(network) + len(predictor.state_dict())
    words = "linear bn relu linear bn relu linear bn"
    return Published(training_file(tensors), network, "SimSiam", "resnet18", words, ignored)


def swav() -> Published:
    head = nn.Sequential(nn.Linear(256, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16))
    network = fill(ResNet(50, width=WIDTH, fc=head))
    tensors = {
        "module." + name.replace("fc.", "projection_head."): value
        for name, value in network.state_dict().items()
    }
    tensors["module.prototypes.weight"] = torch.ones(30, 16)
    words = "linear bn relu linear"
    return Published(tensors, network, "SwAV", "resnet50", words, batches_seen(network) + 1)


def dino() -> Published:
    head = nn.Sequential(
        nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 16)
    )
    network = fill(ResNet(18, width=WIDTH, fc=head))
    backbone = {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")}
    teacher = prefixed("module.backbone.", backbone) | prefixed(
        "module.head.mlp.", head.state_dict()
    )
    last_layer = {"weight_g": torch.ones(30, 1), "weight_v": torch.ones(30, 16)}
    teacher |= prefixed("module.head.last_layer.", last_layer)
    content = {
        "student": {name: torch.zeros_like(value) for name, value in teacher.items()},
        "teacher": teacher,
        "optimizer": {"state": {}},
        "epoch": 800,
        "args": argparse.Namespace(arch="resnet18", lr=0.03, global_crops_scale=(0.14, 1.0)),
        "dino_loss": {"center": torch.zeros(1, 30)},
    }
    words = "linear gelu linear gelu linear"
    return Published(content, network, "DINO", "resnet18", words, batches_seen(network) + 2)


def barlow_twins() -> Published:
    head = nn.Sequential(
        nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(),
        nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(),
        nn.Linear(32, 32, bias=False),
    )  # fmt: skip
    network = fill(ResNet(18, width=WIDTH, fc=head))
    backbone = {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")}
    tensors = prefixed("module.backbone.", backbone)
    tensors |= prefixed("module.projector.", head.state_dict())
    tensors |= prefixed("module.bn.", nn.BatchNorm1d(32, affine=False).state_dict())
    content = {"epoch": 1000, "model": tensors, "optimizer": {}}
    words = "linear bn relu linear bn relu linear"
    return Published(content, network, "Barlow Twins", "resnet18", words, batches_seen(network) + 3)


def lightly(numbers: tuple[int, ...] = (0, 1, 4, 5, 6, 7), small: bool = False) -> Published:
    """A torchvision ResNet with numbered children, or lightly's own ResNet with a small stem."""
    network = fill(ResNet(18, width=WIDTH, small=small, fc=mlp(64, 16)))
    parts = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
    tensors = {}
    for name, value in network.state_dict().items():
        first, _, rest = name.partition(".")
        if first == "fc":
            tensors[f"projection_head.layers.{rest}"] = value
        else:
            rest = rest.replace("downsample", "shortcut") if small else rest
            tensors[f"backbone.{numbers[parts.index(first)]}.{rest}"] = value
    content = {"state_dict": tensors, "hyper_parameters": {"lr": 0.1}}
    words = "linear relu linear"
    return Published(content, network, "lightly", "resnet18", words, batches_seen(network))


def lightlys_own() -> Published:
    return lightly((0, 1, 2, 3, 4, 5), small=True)


def s2bnn_network(*, binary: bool, width: float, dim: int, size: int) -> MoCo:
    features = round(ReActNet.CHANNELS[-1] * width)
    encoders = (ReActNet(binary=binary, width=width, fc=mlp(features, dim)) for _ in range(2))
    return fill(MoCo(*encoders, dim, size))


def s2bnn(*, binary: bool = True, width: float = WIDTH, dim: int = 16, size: int = 24) -> Published:
    """A student with key encoder and queue, and with both forms of each 1x1, one of which runs."""
    moco = s2bnn_network(binary=binary, width=width, dim=dim, size=size)
    tensors = moco.state_dict()
    content = training_file(prefixed("module.", tensors))
    words = "linear relu linear"
    ignored = not_needed(tensors)
    return Published(content, moco.encoder_q, "S2-BNN", "reactnet", words, ignored)


def s2bnn_probe(*, classes: int = 10, width: float = WIDTH) -> Published:
    """A linear probe, which is a backbone with a classifier."""
    network = fill(ReActNet(binary=True, width=width, fc=nn.Linear(round(1024 * width), classes)))
    tensors = network.state_dict()
    content = training_file(prefixed("module.", tensors))
    network.fc = nn.Identity()
    return Published(content, network, "S2-BNN", "reactnet", "none", not_needed(tensors))


def not_needed(tensors: Mapping[str, torch.Tensor]) -> int:
    """Count the unused tensors of a ReActNet: counters, and the form of the 1x1 not in use."""
    return sum(
        name.endswith("num_batches_tracked")
        or any(part in name for part in not_run_parts(name, tensors))
        for name in tensors
    )


def not_run_parts(name: str, tensors: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The parts of a tensor's block that the 1x1 of this block does not use."""
    block = name.partition("feature.")[2].partition(".")[0]
    if not block or block == "0":
        return ()
    prefix = name[: name.index("feature.")] + f"feature.{block}."
    outputs, inputs = tensors[f"{prefix}binary_pw.weight"].shape[:2]
    single = (".binary_pw.", ".bn2.")
    return (".binary_pw_down", ".bn2_") if outputs == inputs else single
