"""scaled_sign: values, and the gradient of its surrogate, against NumPy."""

from __future__ import annotations

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.layers import ScaledSign, scaled_sign

pytestmark = pytest.mark.both_sets

keras = tf.keras


def reference(kernel: np.ndarray) -> np.ndarray:
    """Mean magnitude times sign for one output channel after another, with sign(0) = +1."""
    binary = np.empty_like(kernel)
    for channel in range(kernel.shape[-1]):
        weights = kernel[..., channel]
        binary[..., channel] = np.abs(weights).mean() * np.where(weights >= 0, 1, -1)
    return binary


@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (1, 1, 4, 2), (6, 3)])
def test_values_are_the_mean_magnitude_of_the_channel_with_the_sign_of_the_weight(shape):
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(scaled_sign(kernel), reference(kernel), rtol=1e-6)


def test_zero_is_positive():
    kernel = tf.constant([[0.0], [-0.0], [3.0], [-1.0]])
    assert scaled_sign(kernel)[:, 0].numpy().tolist() == [1, 1, 1, -1]


def test_an_all_zero_channel_stays_binary_and_harmless():
    kernel = np.zeros((3, 3, 4, 2), np.float32)
    kernel[..., 1] = -0.5
    binary = scaled_sign(kernel).numpy()
    assert 0 < binary[..., 0].max() == binary[..., 0].min() < 1e-5
    assert np.all(binary[..., 1] == -0.5)


def test_the_gradient_passes_where_weights_are_within_one_and_never_sees_the_scale():
    kernel = tf.constant([[-1.5, 0.5], [-1.0, 1.0], [-0.2, 1.001], [0.0, 40.0]])
    upstream = tf.constant(np.random.default_rng(1).normal(size=(4, 2)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = tf.reduce_sum(scaled_sign(kernel) * upstream)
    expected = np.where(np.abs(kernel) <= 1, upstream, 0)
    np.testing.assert_array_equal(tape.gradient(loss, kernel), expected)


def test_the_quantizer_object_is_the_function_of_precision_one():
    kernel = np.random.default_rng(2).normal(size=(2, 2, 3, 4)).astype(np.float32)
    assert ScaledSign().precision == 1
    np.testing.assert_array_equal(ScaledSign()(kernel), scaled_sign(kernel))


def test_the_quantizer_object_works_in_another_larq_layer_and_in_its_config():
    layer = lq.layers.QuantDense(3, kernel_quantizer=ScaledSign(), kernel_constraint="weight_clip")
    inputs = np.random.default_rng(3).normal(size=(5, 4)).astype(np.float32)
    outputs = layer(inputs)
    np.testing.assert_allclose(outputs, inputs @ reference(layer.kernel.numpy()), atol=1e-6)
    again = lq.layers.QuantDense.from_config(layer.get_config())
    assert isinstance(again.kernel_quantizer, ScaledSign)
