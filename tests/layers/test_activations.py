"""ChannelBias, RSign and RPReLU: values and gradients against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.layers import ChannelBias, RPReLU, RSign

pytestmark = pytest.mark.both_sets

SHAPES = [(2, 4, 5, 3), (6, 3)]


def noise(shape, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def gradients(layer, inputs: np.ndarray, upstream: np.ndarray) -> list[np.ndarray]:
    """Gradients of sum(layer(inputs) * upstream) for the input and then for every weight."""
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs) * upstream)
    return [g.numpy() for g in tape.gradient(loss, [inputs, *layer.trainable_weights])]


def per_channel(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, values.shape[-1]).sum(axis=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_channel_bias_adds_one_number_per_channel(shape):
    inputs, upstream = noise(shape, 0), noise(shape, 1)
    layer = ChannelBias()
    np.testing.assert_array_equal(layer(inputs), inputs)  # starts at zero
    layer.set_weights([np.float32([1, -2, 0.5])])
    np.testing.assert_array_equal(layer(inputs), inputs + np.float32([1, -2, 0.5]))
    to_inputs, to_bias = gradients(layer, inputs, upstream)
    np.testing.assert_array_equal(to_inputs, upstream)
    np.testing.assert_allclose(to_bias, per_channel(upstream), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_rsign_is_the_sign_around_a_threshold(shape):
    inputs, bias = noise(shape, 0), np.float32([0.3, 0.0, -0.7])
    layer = RSign()
    layer.build(shape)
    layer.set_weights([bias])
    np.testing.assert_array_equal(layer(inputs), np.where(inputs + bias >= 0, 1, -1))


def test_rsign_of_zero_is_plus_one():
    assert RSign()(tf.constant([[0.0, -0.0, -1e-30]])).numpy().tolist() == [[1, 1, -1]]


@pytest.mark.parametrize("shape", SHAPES)
def test_rsign_has_the_slope_of_the_piecewise_quadratic_surrogate(shape):
    inputs, upstream, bias = noise(shape, 0), noise(shape, 1), np.float32([0.3, 0.0, -0.7])
    layer = RSign()
    layer.build(shape)
    layer.set_weights([bias])
    slope = np.maximum(0, 2 - 2 * np.abs(inputs + bias))
    assert (slope == 0).any() and (slope > 0).any()
    to_inputs, to_bias = gradients(layer, inputs, upstream)
    np.testing.assert_allclose(to_inputs, slope * upstream, atol=1e-6)
    np.testing.assert_allclose(to_bias, per_channel(slope * upstream), atol=1e-5)


def test_rsign_has_a_precision_of_one_bit():
    assert RSign().precision == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_rprelu_values_and_gradients(shape):
    inputs, upstream = noise(shape, 0), noise(shape, 1)
    shift_in, slope, shift_out = np.float32([[0.5, -0.5, 0], [0.1, 0.9, -0.3], [1, 0, -2]])
    layer = RPReLU()
    layer.build(shape)
    for weight, value in zip(layer.weights, (shift_in, slope, shift_out), strict=True):
        weight.assign(value.reshape(weight.shape))
    shifted = inputs + shift_in
    factor = np.where(shifted > 0, 1, slope)
    np.testing.assert_allclose(layer(inputs), factor * shifted + shift_out, atol=1e-6)

    to_inputs, to_shift_in, to_slope, to_shift_out = gradients(layer, inputs, upstream)
    np.testing.assert_allclose(to_inputs, factor * upstream, atol=1e-6)
    np.testing.assert_allclose(to_shift_in, per_channel(factor * upstream), atol=1e-5)
    np.testing.assert_allclose(
        to_slope.ravel(), per_channel(np.where(shifted > 0, 0, shifted) * upstream), atol=1e-5
    )
    np.testing.assert_allclose(to_shift_out, per_channel(upstream), atol=1e-5)


def test_rprelu_starts_as_prelu_of_slope_one_quarter_per_channel():
    layer = RPReLU()
    assert layer(tf.constant([[[[-4.0, 4.0, -1.0]]]])).numpy().tolist() == [[[[-1, 4, -0.25]]]]
    assert [w.shape.num_elements() for w in layer.weights] == [3] * 3
