"""Goldens from timm's vision transformers, whose package needs torchvision.

In an environment of its own, with a torch and a torchvision that belong together, and timm 1.0.22:

    PYTHONPATH=tests/parity python tests/golden/make_timm.py

writes tests/golden/timm.npz: class tokens and mean patches of narrow networks with weights by
names, shapes and a seed. With any other argument, torchvision's compiled operators are left out,
which timm does not call: then any torchvision will do.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import torch
from oracle.publishers import fill
from oracle.weights import random_images

if len(sys.argv) > 1:
    name = "torchvision._meta_registrations"
    sys.modules[name] = types.ModuleType(name)
import timm  # noqa: E402

NARROW = {"embed_dim": 64, "depth": 3, "num_heads": 1, "num_classes": 0}
# By timm's name: the side of the pictures that positions were learned for, and sizes to compare.
# timm interpolates as DINOv2 with registers does, and otherwise than DINO and DINOv2 without.
NETWORKS = {
    "vit_small_patch14_reg4_dinov2": (112, ((112, 112), (70, 140), (224, 224))),
    "vit_small_patch14_dinov2": (112, ((112, 112),)),
    "vit_small_patch16_224": (96, ((96, 96),)),
}


def main() -> None:
    arrays = {"versions": np.array(f"timm {timm.__version__}, torch {torch.__version__}")}
    for name, (side, sizes) in NETWORKS.items():
        network = timm.create_model(name, img_size=side, dynamic_img_size=True, **NARROW)
        network = fill(network).double()
        shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
        arrays[f"{name}/shapes"] = np.array(json.dumps(shapes))
        for height, width in sizes:
            images = torch.from_numpy(random_images((2, height, width, 3))).permute(0, 3, 1, 2)
            with torch.no_grad():
                tokens = network.forward_features(images).numpy()
            patches = tokens[:, network.num_prefix_tokens :].mean(axis=1)
            both = np.concatenate([tokens[:, 0], patches], axis=1)
            arrays[f"{name}/{height}x{width}"] = both
    np.savez_compressed(Path(__file__).with_name("timm.npz"), **arrays)


if __name__ == "__main__":
    main()
