"""ConvNeXt V2 gives what an independent implementation gives, at every size and naming."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from oracle.weights import random_images

from s2bnn_tf.backbones import CONVNEXT_SIZES, build_backbone
from s2bnn_tf.errors import ModelError
from s2bnn_tf.runs import load_encoder
from s2bnn_tf.torch_import import import_torch
from s2bnn_tf.torch_import.assembly import import_tensors
from s2bnn_tf.torch_import.files import read_checkpoint

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
oracle = pytest.importorskip("oracle.convnext")

NAME = "convnextv2_atto"
SIZES = ((224, 224), (96, 320), (77, 50), (32, 65))


@pytest.fixture(autouse=True)
def shallow(monkeypatch) -> None:
    """A network with few blocks, which are all alike."""
    size = type(CONVNEXT_SIZES[NAME])(oracle.CHANNELS, oracle.BLOCKS)
    monkeypatch.setitem(CONVNEXT_SIZES, NAME, size)


@pytest.fixture
def float64() -> Iterator[None]:
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


@pytest.fixture(scope="module")
def network():
    return oracle.build()


def arrays(tensors: dict) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in tensors.items()}


def test_all_sizes_give_what_transformers_gives(network, float64):
    imported = import_tensors(arrays(network.state_dict()), architecture=NAME)
    assert imported.record["named_as"] == "ConvNeXt V2"
    assert imported.record["tensors_used"] == len(network.state_dict())
    twin = oracle.build().double()
    for size in SIZES:
        backbone = build_backbone(NAME, (*size, 3))
        backbone.set_weights(imported.encoder.backbone.get_weights())
        images = random_images((2, *size, 3))
        expected = oracle.features(twin, images)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(backbone(images), expected, rtol=0, atol=1e-8 * scale)


HEAD = {"head.weight": torch.ones(5, 8 * oracle.CHANNELS), "head.bias": torch.ones(5)}
MASKED = {
    "mask_token": torch.ones(1, 512, 1, 1),
    "decoder.0.dwconv.weight": torch.ones(3),
    "proj.weight": torch.ones(3),
    "pred.weight": torch.ones(3),
}


def sparse(tensors: dict) -> dict:
    """Parameters of the response normalization with two axes, as the sparse network has them."""
    return {n: v.reshape(1, -1) if ".grn." in n else v for n, v in tensors.items()}


def below(prefix: str, tensors: dict) -> dict:
    return {prefix + name: value for name, value in tensors.items()}


@pytest.mark.parametrize(
    ("form", "classes"),
    [
        (lambda t: below("convnextv2.", t) | {"classifier.weight": torch.ones(3)}, None),
        (lambda t: {"model": oracle.publishers_naming(t) | HEAD}, 5),
        (lambda t: {"model": sparse(oracle.publishers_naming(t)) | MASKED}, None),
        (lambda t: below("encoder.", oracle.publishers_naming(t)) | MASKED, None),
    ],
    ids=["Hugging Face's", "fine-tuned", "masked", "masked, with a prefix"],
)
def test_every_naming_gives_the_same_network_in_float32(form, classes, network, save, tmp_path):
    record = import_torch(save(form(network.state_dict())), tmp_path / "run")
    assert (record["architecture"], record["classes"]) == (NAME, classes)
    images = random_images((2, 224, 224, 3)).astype(np.float32)
    found, expected = (
        load_encoder(tmp_path / "run").backbone(images),
        oracle.features(network, images),
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_without_a_last_normalization_it_has_no_scale_and_shift(network, save):
    tensors = oracle.publishers_naming(network.state_dict())
    tensors = {name: value for name, value in tensors.items() if not name.startswith("norm.")}
    found = import_tensors(read_checkpoint(save(tensors)).tensors, image_size=64).encoder.backbone
    features = found(random_images((2, 64, 64, 3)).astype(np.float32)).numpy()
    np.testing.assert_allclose(features.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(features.std(axis=1), 1, atol=1e-4)


def test_half_precision_is_right_within_its_digits(network, save, tmp_path):
    import_torch(save(network.state_dict()), tmp_path / "run")
    images = random_images((2, 224, 224, 3)).astype(np.float32)
    expected = load_encoder(tmp_path / "run")(images)
    for precision in ("mixed_float16", "mixed_bfloat16"):
        tf.keras.mixed_precision.set_global_policy(precision)
        try:
            found = load_encoder(tmp_path / "run")(images)
        finally:
            tf.keras.mixed_precision.set_global_policy(None)
        np.testing.assert_allclose(found, expected, atol=2e-2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n: None if ".grn." in n else n, "a ConvNeXt of the first version"),
        (lambda n: n.replace("stages.3.0.", "stages.3.1."), "it lacks .*: stages.3.0."),
        (
            lambda n: None if n.startswith("stages.1.1") else n,
            r"\(1, 1, 1, 1\) blocks with .* 40x3",
        ),
        (
            lambda n: None if n == "downsample_layers.2.1.bias" else n,
            "lacks .* downsample_layers.2",
        ),
    ],
)
def test_what_is_no_such_network_is_refused(change, words, network):
    tensors = arrays(oracle.publishers_naming(network.state_dict()))
    changed = {new: value for name, value in tensors.items() if (new := change(name))}
    with pytest.raises(ModelError, match=words):
        import_tensors(changed)


def test_images_that_are_too_small_are_refused():
    with pytest.raises(ModelError, match="at least 32x32 pixels, and not of 28x64"):
        build_backbone(NAME, (28, 64, 3))


def test_the_published_sizes_have_the_published_parameters(monkeypatch):
    monkeypatch.undo()
    backbone = build_backbone(NAME, (32, 32, 3))
    assert round(backbone.count_params() / 1e6, 1) == 3.4  # 3.7 with its classifier
