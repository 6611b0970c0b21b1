"""How far imported networks are from PyTorch: whole, at full width, 64 and 224 pixels.

Writes benchmarks/parity.json. Needs PyTorch (`make .venv/torch-by-make`) and some minutes:

    .venv/bin/python benchmarks/parity.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from s2bnn_tf.environment import quiet_tensorflow

quiet_tensorflow()
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import torch  # noqa: E402
from oracle.networks import ReActNet, ResNet, mlp  # noqa: E402
from oracle.publishers import fill, prefixed  # noqa: E402

from s2bnn_tf.layers import BinaryConv2D  # noqa: E402
from s2bnn_tf.torch_import.assembly import import_tensors  # noqa: E402

keras = tf.keras

NETWORKS = {
    "resnet18": lambda: ResNet(18, fc=mlp(512, 128)),
    "resnet50": lambda: ResNet(50, fc=mlp(2048, 128)),
    "reactnet, step 1": lambda: ReActNet(binary=False, fc=mlp(1024, 128)),
    "reactnet, step 2": lambda: ReActNet(binary=True, fc=mlp(1024, 128)),
}
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


def build(network, size: int, step: int | None, floatx: str):
    keras.backend.set_floatx(floatx)
    state = prefixed("encoder_q.", network.state_dict())
    tensors = {key: value.numpy() for key, value in state.items()}
    return import_tensors(tensors, step=step, image_size=size).encoder


def outputs(encoder, images: np.ndarray, training: bool = False) -> np.ndarray:
    return encoder.head(encoder.backbone(images, training=training), training=training).numpy()


def oracle_outputs(network, images: np.ndarray, training: bool = False) -> np.ndarray:
    network.train(training)
    with torch.no_grad():
        return network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


def signs(encoder, images: np.ndarray) -> list[np.ndarray]:
    """What every binary convolution reads, as bits."""
    layers = [layer for layer in encoder.backbone.layers if isinstance(layer, BinaryConv2D)]
    if not layers:
        return []
    maps = keras.Model(encoder.backbone.input, [layer.input for layer in layers])(images)
    return [layer.input_quantizer(x).numpy() > 0 for layer, x in zip(layers, maps)]


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def measure(name: str, size: int) -> dict:
    network = fill(NETWORKS[name]()).double()
    step = int(name[-1]) if "step" in name else None
    images = np.random.default_rng(0).normal(size=(IMAGES, size, size, 3))
    wide = build(network, size, step, "float64")
    inference = oracle_outputs(network, images)
    row = {"network": name, "size": size, "float64": relative(outputs(wide, images), inference)}
    wide_signs = signs(wide, images)
    expected = oracle_outputs(network, images, training=True)
    row["float64_training"] = relative(outputs(wide, images, training=True), expected)
    images = images.astype(np.float32)
    torch_narrow = fill(NETWORKS[name]())
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
    # Only conversion needs maps of 4x4.
    sys.modules["s2bnn_tf.backbones.reactnet"]._SMALLEST_MAP = 1
    rows = []
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name in NETWORKS:
        for size in (64, 224):
            row = measure(name, size)
            rows.append(row)
            cells = [f"{row[key]:{form}}" for key, form in COLUMNS.values()]
            print(f"| {' | '.join(cells)} |", flush=True)
    result = {"images": IMAGES, "torch": torch.__version__, "rows": rows}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
