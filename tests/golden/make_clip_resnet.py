"""A golden of the ResNet of CLIP as open_clip computes it, whose package needs torchvision.

In an environment of its own, with a torch and a torchvision that belong together, and
open-clip-torch 3.3.0:

    PYTHONPATH=tests/parity python tests/golden/make_clip_resnet.py

writes tests/golden/clip_resnet.npz: embeddings of a narrow network with weights by names, shapes
and a seed. With any other argument, torchvision's compiled operators are left out, which this
network does not call: then any torchvision will do.
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
import open_clip  # noqa: E402
from open_clip.modified_resnet import ModifiedResNet  # noqa: E402

SIDE = 64


def main() -> None:
    network = ModifiedResNet((3, 4, 6, 3), output_dim=1024, heads=8, image_size=SIDE, width=16)
    network = fill(network).double().eval()
    shapes = {f"visual.{key}": list(value.shape) for key, value in network.state_dict().items()}
    images = torch.from_numpy(random_images((2, SIDE, SIDE, 3))).permute(0, 3, 1, 2)
    with torch.no_grad():
        embeddings = network(images.double()).numpy()
    np.savez_compressed(
        Path(__file__).with_name("clip_resnet.npz"),
        versions=np.array(f"open_clip {open_clip.__version__}, torch {torch.__version__}"),
        shapes=np.array(json.dumps(shapes)),
        embeddings=embeddings,
    )


if __name__ == "__main__":
    main()
