"""Goldens from the PyTorch oracle, for the fast tests, which do not need PyTorch.

    PYTHONPATH=tests/parity .venv/bin/python tests/golden/make_networks.py

writes tests/golden/networks.npz. Both sides make weights and images from names, shapes and a
seed, so the file holds little more than outputs.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from oracle import training
from oracle.networks import ReActNet, ResNet, mlp
from oracle.publishers import fill, prefixed, s2bnn_network
from oracle.weights import random_images

WIDTH = 0.125
NETWORKS = {
    "resnet18": (lambda: ResNet(18, width=WIDTH, fc=mlp(64, 16)), 64),
    "resnet50": (lambda: ResNet(50, width=WIDTH, fc=mlp(256, 16)), 64),
    "reactnet_step1": (lambda: ReActNet(binary=False, width=WIDTH, fc=mlp(128, 16)), 128),
    "reactnet_step2": (lambda: ReActNet(binary=True, width=WIDTH, fc=mlp(128, 16)), 128),
}
STEPS, BATCH, SIZE = 3, 4, 32
BLOCKS = 4  # the length of the ReActNet that is trained


def shapes_of(module) -> np.ndarray:
    shapes = {name: list(value.shape) for name, value in module.state_dict().items()}
    return np.array(json.dumps(shapes))


def networks() -> dict[str, np.ndarray]:
    found = {}
    for name, (make, size) in NETWORKS.items():
        network = fill(make()).double()
        images = torch.from_numpy(random_images((2, size, size, 3))).permute(0, 3, 1, 2)
        found[f"{name}/shapes"] = shapes_of(network)
        with torch.no_grad():
            found[f"{name}/inference"] = network(images).numpy()
            found[f"{name}/training"] = network.train()(images).numpy()
    return found


def steps() -> dict[str, np.ndarray]:
    """Contrast and distillation on a short ReActNet with binary weights."""
    ReActNet.CHANNELS = ReActNet.CHANNELS[: BLOCKS + 1]
    moco = s2bnn_network(binary=True, width=WIDTH, dim=16, size=10).double()
    teacher = fill(ResNet(18, width=WIDTH, fc=mlp(64, 16)), seed=1).double()
    recipe = training.RECIPES["contrastive_distillation"]
    trainer = training.Trainer(recipe, moco, teacher)
    found = {"steps/shapes": shapes_of(moco)}
    found["steps/teacher_shapes"] = np.array(
        json.dumps({name: list(value.shape) for name, value in teacher.state_dict().items()})
    )
    views = random_images((STEPS, 2, BATCH, SIZE, SIZE, 3))
    losses = [
        trainer.step(*(torch.from_numpy(view).permute(0, 3, 1, 2) for view in pair))
        for pair in views
    ]
    found["steps/losses"] = np.array([list(loss.values()) for loss in losses])
    after = prefixed("", moco.state_dict())
    found["steps/queue"] = after["queue"].numpy()
    found["steps/head"] = after["encoder_q.fc.2.weight"].numpy()
    found["steps/kernel"] = after["encoder_q.feature.1.binary_pw_down1.weight"].numpy()
    found["steps/momentum_head"] = after["encoder_k.fc.2.weight"].numpy()
    return found


def main() -> None:
    versions = np.array(f"torch {torch.__version__}")
    arrays = {**networks(), **steps(), "versions": versions}
    np.savez_compressed(Path(__file__).with_name("networks.npz"), **arrays)


if __name__ == "__main__":
    main()
