"""ResNet v1.5: torchvision's parameter counts, strides and options."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import build_backbone
from s2bnn_tf.errors import ConfigError

keras = tf.keras


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.fixture(scope="module")
def resnet50() -> keras.Model:
    return build_backbone("resnet50", (224, 224, 3))


def test_resnet50_has_torchvisions_parameters(resnet50):
    assert trainable(resnet50) == 25_557_032 - (2048 * 1000 + 1000)
    assert resnet50.output_shape == (None, 2048)
    assert resnet50.get_layer("pool").input_shape == (None, 7, 7, 2048)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_689_512 - 513_000),
        pytest.param("resnet34", 21_797_672 - 513_000, marks=pytest.mark.slow),
    ],
)
def test_basic_resnets_have_torchvisions_parameters(name, parameters):
    model = build_backbone(name, (64, 64, 3))
    assert trainable(model) == parameters
    assert model.output_shape == (None, 512)


def test_the_stride_of_a_bottleneck_is_in_its_3x3(resnet50):
    strided = {
        layer.name: layer.kernel_size
        for layer in resnet50.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.strides == (2, 2)
    }
    assert strided == {
        "stem_conv": (7, 7),
        **{f"layer{stage}_0_2_conv": (3, 3) for stage in (2, 3, 4)},
        **{f"layer{stage}_0_shortcut_conv": (1, 1) for stage in (2, 3, 4)},
    }


def test_convolutions_have_no_bias_and_norms_are_pytorchs(resnet50):
    for layer in resnet50.layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert not layer.use_bias
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)


@pytest.mark.parametrize(
    ("stem", "width", "last_map"), [("imagenet", 0.5, 1), ("medium", 0.25, 2), ("small", 0.25, 4)]
)
def test_stem_and_width(stem, width, last_map):
    model = build_backbone("resnet18", (32, 32, 3), stem=stem, width=width)
    assert model.output_shape == (None, int(512 * width))
    assert model.get_layer("pool").input_shape[1:3] == (last_map, last_map)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stem": "large"}, "stem is 'imagenet', 'medium' or 'small', not 'large'"),
        ({"width": 0.001}, "resnet50's width must be at least 0.015625, not 0.001"),
    ],
)
def test_impossible_options(options, words):
    with pytest.raises(ConfigError, match=words):
        build_backbone("resnet50", (32, 32, 3), **options)
