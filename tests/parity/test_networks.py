"""Whole imported networks against the oracle: to 1e-8 in float64, to rounding in float32."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.torch_import.assembly import import_tensors

torch = pytest.importorskip("torch")
networks = pytest.importorskip("oracle.networks")
publishers = pytest.importorskip("oracle.publishers")

WIDTH = 0.125


@pytest.fixture
def float64() -> Iterator[None]:
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


@pytest.fixture(autouse=True)
def small_maps(monkeypatch) -> None:
    """Allow a ReActNet at 64 pixels; only its conversion needs larger maps."""
    monkeypatch.setattr(sys.modules["s2bnn_tf.backbones.layout"], "_SMALLEST_MAP", 1)


def oracle(name: str, width: float):
    """A filled network with the head of MoCo v2."""
    if name.startswith("resnet"):
        depth = int(name.removeprefix("resnet"))
        features = round((2048 if depth == 50 else 512) * width)
        head = networks.mlp(features, 16)
        return publishers.fill(networks.ResNet(depth, width=width, fc=head))
    head = networks.mlp(round(1024 * width), 16)
    network = networks.ReActNet(binary=name == "reactnet_step2", width=width, fc=head)
    return publishers.fill(network)


def imported(name: str, network, size: int):
    state = publishers.prefixed("encoder_q.", network.state_dict())
    tensors = {key: value.numpy() for key, value in state.items()}
    step = int(name[-1]) if name.startswith("reactnet") else None
    return import_tensors(tensors, step=step, image_size=size).encoder


def outputs(encoder, images: np.ndarray, *, training: bool) -> np.ndarray:
    """The outputs of the head, before they are normalized."""
    features = encoder.backbone(images, training=training)
    return encoder.head(features, training=training).numpy()


def oracle_outputs(network, images: np.ndarray, *, training: bool) -> np.ndarray:
    network.train(training)
    with torch.no_grad():
        return network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


def make_images(size: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, size, size, 3))


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


slow = pytest.mark.slow
CASES = [
    pytest.param(name, size, width, marks=marks)
    for name in ("resnet18", "resnet50", "reactnet_step1", "reactnet_step2")
    for size, width, marks in ((64, WIDTH, ()), (224, WIDTH, slow), (224, 1.0, slow))
]


@pytest.mark.parametrize(("name", "size", "width"), CASES)
def test_in_float64(name, size, width, float64):
    network = oracle(name, width).double()
    encoder = imported(name, network, size)
    images = make_images(size)
    for training in (False, True):
        ours = outputs(encoder, images, training=training)
        theirs = oracle_outputs(network, images, training=training)
        assert ours.dtype == np.float64
        assert relative_error(ours, theirs) < 1e-8, f"training={training}"


@pytest.mark.parametrize(("name", "size", "width"), CASES)
def test_in_float32(name, size, width):
    network = oracle(name, width)
    encoder = imported(name, network, size)
    images = make_images(size)
    theirs = oracle_outputs(network.double(), images, training=False)
    ours = outputs(encoder, images.astype(np.float32), training=False)
    if name.startswith("resnet"):
        assert relative_error(ours, theirs) < 1e-4
    else:  # the sign of a value near zero may flip
        cosines = (ours * theirs).sum(axis=1)
        cosines /= np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        assert cosines.min() > 0.999


def test_the_moving_variance_in_float32_is_pytorchs():
    """Keras's fused BatchNorm counts samples as PyTorch does; the one for float64 does not."""
    network = oracle("resnet18", WIDTH)
    encoder = imported("resnet18", network, 64)
    images = make_images(64).astype(np.float32)
    oracle_outputs(network, images, training=True)
    outputs(encoder, images, training=True)
    after = imported("resnet18", network, 64)
    for ours, theirs in zip(encoder.backbone.weights, after.backbone.weights, strict=True):
        if "moving" in ours.name:
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=ours.name)
