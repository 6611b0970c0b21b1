"""Backbones by name: errors, a user's own backbone, and the networks of Larq Zoo."""

from __future__ import annotations

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import (
    backbone_names,
    backbone_options,
    build_backbone,
    register_backbone,
    registry,
)
from s2bnn_tf.errors import ConfigError, ModelError

pytestmark = pytest.mark.both_sets

keras = tf.keras

ZOO = [
    "binary_densenet28",
    "binary_densenet37",
    "binary_densenet45",
    "binary_resnet_e18",
    "birealnet",
    "real_to_binary_net",
]


@pytest.fixture
def own_registry(monkeypatch):
    """Names that a test registers are gone after it."""
    monkeypatch.setattr(registry._BACKBONES, "entries", dict(registry._BACKBONES.entries))


def test_names():
    names = backbone_names()
    assert names == sorted(names)
    assert {*ZOO, "quicknet", "reactnet", "resnet18", "resnet34", "resnet50"} <= set(names)


def test_an_unknown_name_is_answered_by_the_known_ones():
    with pytest.raises(ConfigError, match="no backbone named 'reactnet_a'.*reactnet, .*resnet50"):
        build_backbone("reactnet_a", (32, 32, 3))


def test_an_option_that_a_backbone_does_not_have():
    with pytest.raises(ConfigError, match="'resnet18' has no option 'binarize_weights'; .*stem"):
        build_backbone("resnet18", (32, 32, 3), binarize_weights=True)
    with pytest.raises(ConfigError, match="'birealnet' has no option 'width'; it takes no options"):
        build_backbone("birealnet", (224, 224, 3), width=0.5)


def test_an_option_that_is_none_keeps_the_backbones_default(own_registry):
    seen = {}

    @register_backbone("own")
    def own(input_shape, *, width: float = 3.0, stem: str = "imagenet"):
        seen.update(width=width, stem=stem, input_shape=input_shape)
        return keras.Sequential([keras.Input(input_shape), keras.layers.GlobalMaxPooling2D()])

    options = {"width": None, "stem": "small", "binarize_weights": None}
    model = build_backbone("own", [16, 24, 3], **options)
    assert seen == {"width": 3.0, "stem": "small", "input_shape": (16, 24, 3)}
    assert model.output_shape == (None, 3)
    assert "own" in backbone_names()


def pooled(input_shape, channels: int) -> keras.Model:
    image = keras.Input(input_shape)
    x = keras.layers.Dense(channels)(keras.layers.GlobalAveragePooling2D()(image))
    return keras.Model(image, x)


def test_a_name_that_is_taken_keeps_its_network(own_registry):
    @register_backbone("taken")
    def first(input_shape):
        return pooled(input_shape, 5)

    def second(input_shape):
        return pooled(input_shape, 7)

    with pytest.raises(ConfigError, match="'taken' is registered already"):
        register_backbone("taken")(second)
    assert build_backbone("taken", (8, 8, 3)).output_shape == (None, 5)


def test_the_options_of_a_backbone_and_their_defaults():
    assert backbone_options("reactnet") == {
        "stem": "imagenet",
        "width": 1.0,
        "binarize_weights": True,
        "kernel_initializer": "glorot_uniform",
        "reverse_input": False,
    }
    assert backbone_options("birealnet") == {}
    with pytest.raises(ConfigError, match="no backbone named 'reactnet_a'"):
        backbone_options("reactnet_a")


def test_a_module_that_is_loaded_twice_may_register_again(own_registry):
    builder = registry._BACKBONES.entries["resnet18"]
    assert register_backbone("resnet18")(builder) is builder


def check_zoo_network(name: str) -> None:
    """It builds, has binary convolutions, and returns one finite row of features per image."""
    model = build_backbone(name, (64, 64, 3))
    quantized = [
        layer
        for layer in model.layers
        if isinstance(layer, lq.layers.QuantConv2D) and layer.kernel_quantizer is not None
    ]
    assert len(quantized) >= 12
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    features = model(images).numpy()
    assert features.shape == (2, model.output_shape[-1])
    assert np.all(np.isfinite(features))
    assert not np.allclose(features[0], features[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_a_network_of_larq_zoo(name):
    check_zoo_network(name)


def test_a_network_of_larq_zoo_refuses_images_that_are_too_small():
    with pytest.raises(ModelError, match="binary_resnet_e18 cannot be built for images of 4x4"):
        build_backbone("binary_resnet_e18", (4, 4, 3))
