"""A ResNet-18 with very few channels, as a state dict, and files of it."""

from __future__ import annotations

from collections import OrderedDict

import pytest

CLASSES = 4


@pytest.fixture
def resnet() -> OrderedDict:
    """The tensors of a ResNet-18 with 2 to 16 channels and a classifier, by torchvision's names."""
    torch = pytest.importorskip("torch")
    networks, publishers = (pytest.importorskip(f"oracle.{x}") for x in ("networks", "publishers"))
    network = networks.ResNet(18, width=1 / 32, fc=torch.nn.Linear(16, CLASSES))
    return OrderedDict(publishers.fill(network).state_dict())


@pytest.fixture
def save(tmp_path):
    torch = pytest.importorskip("torch")

    def write(content, name: str = "checkpoint.pth.tar", **options):
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return write
