"""Measure how far imported networks are from PyTorch, at full width, at 64 and 224 pixels.

    .venv/bin/python benchmarks/parity.py [--output FILE.json]

Needs PyTorch (`make .venv/torch-by-make`) and a few minutes; writes benchmarks/parity.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

import numpy as np

from s2bnn_tf.environment import quiet_tensorflow

NETWORKS = ("resnet18", "resnet50", "reactnet, step 1", "reactnet, step 2")
COLUMNS = {
    "network": ("network", ""),
    "pixels": ("size", ""),
    "float64": ("float64", ".1e"),
    "training": ("float64_training", ".1e"),
    "float32": ("float32", ".1e"),
    "PyTorch float32": ("torch_float32", ".1e"),
    "cosine": ("float32_cosine", ".6f"),
    "signs flipped": ("signs_flipped", ","),
    "of": ("signs", ","),
}
IMAGES = 4


def make_network(name: str):
    """Build a network in PyTorch as its authors do, with filled weights."""
    from oracle.networks import ReActNet, ResNet, mlp
    from oracle.publishers import fill

    if name.startswith("resnet"):
        depth = int(name.removeprefix("resnet"))
        return fill(ResNet(depth, fc=mlp({18: 512, 50: 2048}[depth], 128)))
    return fill(ReActNet(binary=name.endswith("2"), fc=mlp(1024, 128)))


def build(network, size: int, step: int | None, floatx: str):
    """Import a network's weights into Keras."""
    import tensorflow as tf
    from oracle.publishers import prefixed

    from s2bnn_tf.torch_import.assembly import import_tensors

    tf.keras.backend.set_floatx(floatx)
    state = prefixed("encoder_q.", network.state_dict())
    tensors = {key: value.numpy() for key, value in state.items()}
    return import_tensors(tensors, step=step, image_size=size).encoder


def outputs(encoder, images: np.ndarray, training: bool = False) -> np.ndarray:
    return encoder.head(encoder.backbone(images, training=training), training=training).numpy()


def oracle_outputs(network, images: np.ndarray, training: bool = False) -> np.ndarray:
    import torch

    network.train(training)
    with torch.no_grad():
        return network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


def signs(encoder, images: np.ndarray) -> list[np.ndarray]:
    """Return the bits that every binary convolution reads."""
    import tensorflow as tf

    from s2bnn_tf.layers import BinaryConv2D

    layers = [layer for layer in encoder.backbone.layers if isinstance(layer, BinaryConv2D)]
    if not layers:
        return []
    maps = tf.keras.Model(encoder.backbone.input, [layer.input for layer in layers])(images)
    return [layer.input_quantizer(x).numpy() > 0 for layer, x in zip(layers, maps)]


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def measure(name: str, size: int) -> dict:
    network = make_network(name).double()
    step = int(name[-1]) if "step" in name else None
    images = np.random.default_rng(0).normal(size=(IMAGES, size, size, 3))
    wide = build(network, size, step, "float64")
    inference = oracle_outputs(network, images)
    row = {"network": name, "size": size, "float64": relative(outputs(wide, images), inference)}
    wide_signs = signs(wide, images)
    expected = oracle_outputs(network, images, training=True)
    row["float64_training"] = relative(outputs(wide, images, training=True), expected)
    images = images.astype(np.float32)
    torch_narrow = make_network(name)
    row["torch_float32"] = relative(oracle_outputs(torch_narrow, images), inference)
    narrow = build(torch_narrow, size, step, "float32")
    ours = outputs(narrow, images)
    cosines = (ours * inference).sum(axis=1)
    cosines /= np.linalg.norm(ours, axis=1) * np.linalg.norm(inference, axis=1)
    flipped = sum(int((a != b).sum()) for a, b in zip(signs(narrow, images), wide_signs))
    row |= {
        "float32": relative(ours, inference),
        "float32_cosine": float(cosines.min()),
        "signs": sum(bits.size for bits in wide_signs),
        "signs_flipped": flipped,
    }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    quiet_tensorflow()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))
    import torch

    # Only conversion needs maps of 4x4. The package's attribute of this name is the builder.
    importlib.import_module("s2bnn_tf.backbones.layout")._SMALLEST_MAP = 1
    rows = []
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name in NETWORKS:
        for size in (64, 224):
            row = measure(name, size)
            rows.append(row)
            cells = [f"{row[key]:{form}}" for key, form in COLUMNS.values()]
            print(f"| {' | '.join(cells)} |", flush=True)
    result = {"images": IMAGES, "torch": torch.__version__, "rows": rows}
    options.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
