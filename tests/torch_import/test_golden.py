"""Imported networks against the outputs of the PyTorch oracle in tests/golden/networks.npz."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from oracle.weights import random_images, random_weights

from s2bnn_tf.torch_import import naming, network
from s2bnn_tf.torch_import.assembly import Imported, import_tensors
from s2bnn_tf.training import Adam, Pretrainer

GOLDEN = Path(__file__).parents[1] / "golden" / "networks.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


def weights(shapes: np.ndarray, prefix: str = "", seed: int = 0) -> dict[str, np.ndarray]:
    named = {name: tuple(shape) for name, shape in json.loads(shapes.item()).items()}
    return {prefix + name: value for name, value in random_weights(named, seed).items()}


def build(golden: dict[str, np.ndarray], name: str, size: int) -> Imported:
    tensors = weights(golden[f"{name}/shapes"], "encoder_q.")
    step = int(name[-1]) if "step" in name else None
    return import_tensors(tensors, step=step, image_size=size)


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 64), ("resnet50", 64), ("reactnet_step1", 128), ("reactnet_step2", 128)],
)
def test_a_network_gives_what_pytorch_gave(name, size, golden):
    encoder = build(golden, name, size).encoder
    images = random_images((2, size, size, 3))
    for mode in ("inference", "training"):
        training = mode == "training"
        outputs = encoder.head(encoder.backbone(images, training=training), training=training)
        expected = golden[f"{name}/{mode}"]
        np.testing.assert_allclose(outputs, expected, atol=1e-8 * np.abs(expected).max())


def test_steps_of_contrast_and_distillation_are_pytorchs(golden, monkeypatch):
    blocks, channels = 4, 256
    layout = sys.modules["s2bnn_tf.backbones.layout"]
    monkeypatch.setattr(layout, "_BLOCKS", layout._BLOCKS[:blocks])
    monkeypatch.setattr(layout, "_SMALLEST_MAP", 1)
    monkeypatch.setattr(naming, "_REACTNET_BLOCKS", blocks)
    monkeypatch.setitem(network._FEATURES, "reactnet", channels)
    imported = import_tensors(weights(golden["steps/shapes"]), image_size=32)
    teacher_weights = weights(golden["steps/teacher_shapes"], "encoder_q.", seed=1)
    pretrainer = Pretrainer(
        student=imported.encoder,
        teacher=import_tensors(teacher_weights, image_size=32).encoder,
        momentum_encoder=imported.momentum_encoder,
        queue=imported.queue,
        contrastive_weight=1.0,
        distillation_weight=1.0,
    )
    optimizer = Adam(3e-4)
    optimizer.build(imported.encoder.trainable_variables)
    pretrainer.compile(optimizer=optimizer)
    views = random_images((3, 2, 4, 32, 32, 3))
    for pair, expected in zip(views, golden["steps/losses"], strict=True):
        pretrainer.reset_metrics()
        logs = pretrainer.train_step(tuple(map(tf.constant, pair)))
        losses = [float(logs[name]) for name in ("contrastive", "distillation")]
        np.testing.assert_allclose(losses, expected, rtol=1e-6)
    found = {
        "queue": imported.queue.keys.numpy().T,
        "head": imported.encoder.head.layers[-1].kernel.numpy().T,
        "momentum_head": imported.momentum_encoder.head.layers[-1].kernel.numpy().T,
    }
    # Some of these weights exceed 1, where no gradient passes.
    expected = golden["steps/kernel"]
    assert 0 < (np.abs(expected) > 1).sum() < expected.size / 4
    kernel = imported.encoder.backbone.get_layer("block1_conv1x1").kernel
    found["kernel"] = tf.transpose(kernel, (3, 2, 0, 1))[: len(expected)]
    for name, value in found.items():
        np.testing.assert_allclose(value, golden[f"steps/{name}"], atol=1e-6, err_msg=name)
