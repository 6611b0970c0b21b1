"""BNext-T: its layout, and its blocks against the form that the authors' code has."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import build_backbone
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.layers import BinaryConv2D

pytestmark = pytest.mark.both_sets

keras = tf.keras

# Input channels of the 13 blocks, and the output of the last.
CHANNELS = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]


@pytest.fixture(scope="module")
def small() -> keras.Model:
    """Binary, small stem, width 1/8; every weight random, as after training."""
    model = build_backbone("bnext", (32, 32, 3), stem="small", width=0.125)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        kind = weight.name.split("/")[-1]
        positive = kind.startswith(("moving_variance", "gamma", "share", "alpha"))
        low, high = (0.4, 0.9) if positive else (-0.4, 0.4)
        weight.assign(rng.uniform(low, high, weight.shape))
    return model


def test_the_layout_is_reactnets_with_two_branches_where_channels_double():
    model = build_backbone("bnext", (128, 160, 3))
    convolutions = [layer for layer in model.layers if isinstance(layer, BinaryConv2D)]
    kernels = [tuple(layer.kernel.shape) for layer in convolutions]
    expected = []
    for before, after in zip(CHANNELS, CHANNELS[1:]):
        expected += [(3, 3, before, before)] + [(1, 1, before, before)] * (after // before)
    assert sorted(kernels) == sorted(expected)
    assert len(kernels) == 31
    assert model.get_layer("prelu").output_shape == (None, 4, 5, 1024)
    attending = [layer.name for layer in model.layers if layer.name.endswith("_attention")]
    assert attending == [f"block{index}_conv3x3_attention" for index in range(2, 14, 2)]


def test_bnext_s_is_half_as_wide_again():
    model = build_backbone("bnext", (32, 32, 3), stem="small", width=1.5 / 8)
    assert model.get_layer("stem_conv").output_shape[-1] == 48 // 8
    assert model.output_shape == (None, 1536 // 8)


class AuthorsBlock:
    """A block in plain TensorFlow, with the mean of the mixed maps, as the authors' code has it."""

    def __init__(self, model: keras.Model, index: int):
        self.model, self.index = model, index
        self.strides = 2 if index in (2, 4, 6) else 1  # the small stem drops that of block 12

    def layer(self, name: str) -> keras.layers.Layer:
        return self.model.get_layer(f"block{self.index}_{name}")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = self.gated(x, "conv3x3", self.strides, attends=self.index % 2 == 0)
        if CHANNELS[self.index] == CHANNELS[self.index - 1]:
            return self.gated(x, "conv1x1", 1)
        return tf.concat([self.gated(x, "conv1x1_a", 1), self.gated(x, "conv1x1_b", 1)], axis=-1)

    def gated(self, x, name: str, strides: int, attends: bool = False) -> tf.Tensor:
        def pool(values):
            return tf.nn.avg_pool2d(values, 2, 2, "VALID") if strides == 2 else values

        shortcut = pool(self.prelu(x, f"{name}_shortcut_prelu") if attends else x)
        signs = tf.where(x + self.layer(f"{name}_threshold").bias >= 0, 1.0, -1.0)
        kernel = np.where(self.layer(name).kernel.latent_variable.numpy() >= 0, 1, -1)
        y = tf.nn.conv2d(signs, kernel.astype(np.float32), strides, "SAME")
        y = self.prelu(self.norm(y, f"{name}_bn1"), f"{name}_prelu")
        share = self.layer(f"{name}_recoupling").share
        mixed = share * pool(x) + (1 - share) * y
        gate = tf.reduce_mean(mixed, axis=(1, 2))
        for part, activate in (("squeeze", tf.nn.relu), ("gate", tf.sigmoid)):
            conv = self.layer(f"{name}_{part}")
            gate = activate(gate @ conv.kernel[0, 0] + conv.bias)
        y = y * gate[:, None, None]
        if attends:
            y = y * shortcut
        return self.norm(y, f"{name}_bn2") + shortcut

    def prelu(self, x, name: str) -> tf.Tensor:
        return tf.where(x > 0, x, self.layer(name).alpha * x)

    def norm(self, x, name: str) -> tf.Tensor:
        norm = self.layer(name)
        scale = norm.gamma / tf.sqrt(norm.moving_variance + 1e-5)
        return (x - norm.moving_mean) * scale + norm.beta


@pytest.mark.parametrize("index", [1, 2, 3, 12])
def test_a_block_computes_what_the_authors_block_computes(index, small):
    def output(block: int) -> tf.Tensor:
        doubles = CHANNELS[block] == 2 * CHANNELS[block - 1]
        kind = "concatenate" if doubles else "add"
        return small.get_layer(f"block{block}_conv1x1_{kind}").output

    begin = small.get_layer("stem_bn").output if index == 1 else output(index - 1)
    block = keras.Model(begin, output(index))
    inputs = np.random.default_rng(1).normal(size=(2, *block.input_shape[1:])).astype(np.float32)
    ours = block(inputs, training=False).numpy()
    theirs = AuthorsBlock(small, index)(tf.constant(inputs)).numpy()
    assert ours.shape == theirs.shape
    # If rounding flips a sign, the values behind it are different; that must be rare.
    assert (~np.isclose(ours, theirs, rtol=1e-3, atol=1e-3)).mean() < 0.002
    assert ours.std() > 0.1


def test_training_keeps_shares_and_latent_weights_in_their_intervals():
    model = build_backbone("bnext", (32, 32, 3), stem="small", width=0.0625)
    optimizer = keras.optimizers.SGD(1e3)
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(images, training=True) ** 2)
    before = [weight.numpy() for weight in model.trainable_variables]
    optimizer.minimize(loss, model.trainable_variables, tape=tape)
    changed = [(w.numpy() != old).any() for w, old in zip(model.trainable_variables, before)]
    assert np.mean(changed) > 0.9
    for weight in model.trainable_variables:
        if "share" in weight.name:
            assert 0 <= weight.numpy().min() <= weight.numpy().max() <= 1
    for layer in model.layers:
        if isinstance(layer, BinaryConv2D):
            assert np.abs(layer.kernel.latent_variable.numpy()).max() <= 1.5


def test_step_1_and_the_real_valued_twin():
    options = {"stem": "small", "width": 0.0625}
    step1, step2 = (
        build_backbone("bnext", (32, 32, 3), binarize_weights=binary, **options)
        for binary in (False, True)
    )
    assert [w.shape for w in step1.weights] == [w.shape for w in step2.weights]
    twin = build_backbone("bnext_real", (32, 32, 3), **options)
    thresholds = sum(w.shape[0] for w in step1.weights if "threshold" in w.name)
    assert twin.count_params() == step1.count_params() - thresholds
    for layer in step1.layers:
        if isinstance(layer, BinaryConv2D):
            layer.input_quantizer = tf.identity
    twin.set_weights([w.numpy() for w in step1.weights if "threshold" not in w.name])
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(twin(images), step1(images), rtol=1e-4, atol=1e-5)


def test_impossible_options():
    with pytest.raises(ConfigError, match="bnext's stem must be one of"):
        build_backbone("bnext", (224, 224, 3), stem="large")
    with pytest.raises(ConfigError, match=r"bnext's width must be at least 0\.03125, not 0\.01"):
        build_backbone("bnext", (224, 224, 3), width=0.01)
    with pytest.raises(ModelError, match="bnext with stem 'small' needs images of 32 pixels"):
        build_backbone("bnext", (16, 64, 3), stem="small")
