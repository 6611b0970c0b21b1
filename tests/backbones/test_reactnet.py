"""ReActNet-A: the published counts, and its blocks against the form that the paper has."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import build_backbone, reactnet
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.layers import BinaryConv2D, RPReLU

pytestmark = pytest.mark.both_sets

keras = tf.keras

# Input channels of the 13 blocks, and the output of the last.
CHANNELS = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
STRIDES = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]


@pytest.fixture(scope="module")
def reactnet_a() -> keras.Model:
    return reactnet((224, 224, 3))


@pytest.fixture(scope="module")
def small() -> keras.Model:
    """Binary, small stem, width 1/8; every weight random, as after training."""
    model = reactnet((32, 32, 3), stem="small", width=0.125)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        positive = "variance" in weight.name or "gamma" in weight.name
        low, high = (0.5, 1.5) if positive else (-0.4, 0.4)
        weight.assign(rng.uniform(low, high, weight.shape))
    return model


def binary_convolutions(model: keras.Model) -> list[BinaryConv2D]:
    return [layer for layer in model.layers if isinstance(layer, BinaryConv2D)]


def count(weights) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def test_published_parameter_counts(reactnet_a):
    binary = count(layer.kernel for layer in binary_convolutions(reactnet_a))
    pairs = list(itertools.pairwise(CHANNELS))
    assert binary == sum(9 * before**2 + before * after for before, after in pairs) == 28_253_184
    with_classifier = count(reactnet_a.trainable_weights) + 1024 * 1000 + 1000
    assert round(with_classifier / 1e6, 1) == 29.3


def test_binary_convolutions_of_the_13_blocks(reactnet_a):
    convolutions = binary_convolutions(reactnet_a)
    assert len(convolutions) == 26
    for index, (before, after) in enumerate(itertools.pairwise(CHANNELS)):
        three, one = convolutions[2 * index : 2 * index + 2]
        assert three.kernel.shape == (3, 3, before, before)
        assert one.kernel.shape == (1, 1, before, after)
        assert (three.strides, one.strides) == ((STRIDES[index],) * 2, (1, 1))


def test_output_and_last_map(reactnet_a, small):
    for model, last_map, channels in ((reactnet_a, 7, 1024), (small, 4, 128)):
        assert model.output_shape == (None, channels)
        assert model.get_layer("pool").input_shape == (None, last_map, last_map, channels)


def test_the_medium_stem_reduces_the_image_16_times():
    model = reactnet((64, 96, 3), stem="medium", width=0.125)
    assert model.get_layer("stem_conv").output_shape[1:3] == (32, 48)
    assert model.get_layer("pool").input_shape == (None, 4, 6, 128)


def test_batch_normalization_and_slopes_are_the_references(reactnet_a):
    norms = [n for n in reactnet_a.layers if isinstance(n, keras.layers.BatchNormalization)]
    assert len(norms) == 27
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9, 1e-5)}
    slopes = [layer.slope.numpy() for layer in reactnet_a.layers if isinstance(layer, RPReLU)]
    assert len(slopes) == 26
    assert all(np.all(slope == 0.25) for slope in slopes)


def test_width_scales_every_block():
    model = reactnet((32, 32, 3), stem="small", width=0.05)  # 2 channels for 32
    three = binary_convolutions(model)[::2]
    assert [16 * c.kernel.shape[2] for c in three] == CHANNELS[:-1]
    assert model.output_shape == (None, 64)


def test_step_1_and_the_kernels_of_the_reference(small):
    """Step 1 has the weights of step 2; the reference's kernels all start positive."""
    step1 = reactnet(
        (32, 32, 3),
        stem="small",
        width=0.125,
        binarize_weights=False,
        kernel_initializer="small_positive",
    )
    assert [w.shape for w in step1.weights] == [w.shape for w in small.weights]
    assert {c.binarize_weights for c in binary_convolutions(step1)} == {False}
    assert {c.binarize_weights for c in binary_convolutions(small)} == {True}
    for convolution in binary_convolutions(step1):
        kernel = convolution.kernel.numpy()
        assert 0 <= kernel.min() < 2e-4
        assert 8e-4 < kernel.max() < 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stem": "large"}, "stem must be one of 'imagenet', 'medium', 'small', not 'large'"),
        ({"width": 0.01}, "width must be at least 0.03125, not 0.01"),
        ({"kernel_initializer": "zeros"}, "'glorot_uniform' or 'small_positive', not 'zeros'"),
    ],
)
def test_impossible_options(options, words):
    with pytest.raises(ConfigError, match=words):
        build_backbone("reactnet", (224, 224, 3), **options)


@pytest.mark.parametrize(
    ("shape", "stem", "words"),
    [
        ((127, 224, 3), "imagenet", "128 pixels or more .*not 127x224.*medium or small"),
        ((63, 64, 3), "medium", "64 pixels or more on each side, not 63x64.*stem: small"),
        ((32, 31, 3), "small", "32 pixels or more on each side, not 32x31"),
    ],
)
def test_images_that_are_too_small(shape, stem, words):
    with pytest.raises(ModelError, match=words):
        build_backbone("reactnet", shape, stem=stem)


class PaperBlock:
    """A block of figure 4 in plain TensorFlow, with two parallel 1x1 where channels double."""

    def __init__(self, model: keras.Model, index: int):
        self.model = model
        self.name = f"block{index}"
        self.doubles = CHANNELS[index] == 2 * CHANNELS[index - 1]
        self.strides = STRIDES[index - 1]

    def layer(self, name: str) -> keras.layers.Layer:
        return self.model.get_layer(f"{self.name}_{name}")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        shortcut = tf.nn.avg_pool2d(x, 2, 2, "VALID") if self.strides == 2 else x
        y = self.convolve(x, "conv3x3", "bn1", slice(None), self.strides)
        x = self.activate(y + shortcut, "rprelu1")
        if not self.doubles:
            return self.activate(self.convolve(x, "conv1x1", "bn2", slice(None)) + x, "rprelu2")
        channels = x.shape[-1]
        halves = [slice(0, channels), slice(channels, None)]
        branches = [self.convolve(x, "conv1x1", "bn2", half) + x for half in halves]
        return self.activate(tf.concat(branches, axis=-1), "rprelu2")

    def convolve(self, x, conv: str, norm: str, half: slice, strides: int = 1) -> tf.Tensor:
        conv, norm = self.layer(conv), self.layer(norm)
        signs = tf.where(x + conv.input_quantizer.bias >= 0, 1.0, -1.0)
        kernel = conv.kernel.numpy()[..., half]
        kernel = np.abs(kernel).mean(axis=(0, 1, 2)) * np.where(kernel >= 0, 1, -1)
        y = tf.nn.conv2d(signs, kernel.astype(np.float32), strides, "SAME")
        mean, variance, gamma, beta = (
            weight.numpy()[half]
            for weight in (norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta)
        )
        return gamma * (y - mean) / np.sqrt(variance + 1e-5) + beta

    def activate(self, x: tf.Tensor, name: str) -> tf.Tensor:
        layer = self.layer(name)
        x = x + layer.shift_in
        return tf.where(x > 0, x, layer.slope * x) + layer.shift_out


@pytest.mark.parametrize("index", [1, 2, 3, 12, 13])
def test_a_block_computes_what_the_papers_block_computes(index, small):
    """The last stride of ReActNet-A, of block 12, is 1 with the small stem."""
    begin = "stem_bn" if index == 1 else f"block{index - 1}_rprelu2"
    block = keras.Model(
        small.get_layer(begin).output, small.get_layer(f"block{index}_rprelu2").output
    )
    paper = PaperBlock(small, index)
    if index == 12:
        paper.strides = 1
    inputs = np.random.default_rng(1).normal(size=(2, *block.input_shape[1:])).astype(np.float32)
    ours, papers = block(inputs, training=False).numpy(), paper(inputs).numpy()
    assert ours.shape == papers.shape
    # If rounding flips a sign, the value is entirely different; that must be rare.
    far = ~np.isclose(ours, papers, rtol=1e-4, atol=1e-4)
    assert far.mean() < 0.002, far.mean()
    assert ours.std() > 0.1


def test_the_real_valued_twin_is_the_same_network_without_signs():
    """With the weights of step 1, and with the signs of step 1 removed, both agree."""
    twin = build_backbone("reactnet_real", (32, 32, 3), stem="small", width=0.125)
    step1 = reactnet((32, 32, 3), stem="small", width=0.125, binarize_weights=False)
    for layer in binary_convolutions(step1):
        layer.input_quantizer = tf.identity
    for layer in twin.layers:
        kernel = step1.get_layer(layer.name)
        shared = kernel.weights[: len(layer.weights)]  # a binary one has its thresholds last
        layer.set_weights([weight.numpy() for weight in shared])
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(twin(images), step1(images), rtol=1e-4, atol=1e-5)
