"""BinaryConv2D against a convolution written out in NumPy, in both steps."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.layers import BinaryConv2D, RSign
from s2bnn_tf.layers.quantizers import ScaledSign


def convolve(images: np.ndarray, kernel: np.ndarray, strides: int) -> np.ndarray:
    """Cross-correlation with zero padding; the output size is ceil(size / strides)."""
    height, width, _, filters = kernel.shape
    batch, rows, columns, _ = images.shape
    out_rows, out_columns = -(-rows // strides), -(-columns // strides)
    pad_rows = max((out_rows - 1) * strides + height - rows, 0)
    pad_columns = max((out_columns - 1) * strides + width - columns, 0)
    padded = np.zeros((batch, rows + pad_rows, columns + pad_columns, images.shape[-1]))
    top, left = pad_rows // 2, pad_columns // 2
    padded[:, top : top + rows, left : left + columns] = images
    output = np.zeros((batch, out_rows, out_columns, filters))
    for row in range(out_rows):
        for column in range(out_columns):
            r, c = row * strides, column * strides
            window = padded[:, r : r + height, c : c + width]
            output[:, row, column] = np.tensordot(window, kernel, axes=3)
    return output


def random_layer(strides: int, kernel_size: int, binarize_weights: bool) -> BinaryConv2D:
    rng = np.random.default_rng(0)
    layer = BinaryConv2D(6, kernel_size, strides=strides, binarize_weights=binarize_weights)
    layer(tf.zeros((1, 8, 8, 4)))  # builds it and its quantizers
    layer.set_weights([rng.normal(0, 0.3, weight.shape) for weight in layer.weights])
    return layer


@pytest.mark.parametrize("size", [8, 7])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("binarize_weights", [False, True])
def test_output_is_the_zero_padded_convolution_of_signs(
    binarize_weights, kernel_size, strides, size
):
    layer = random_layer(strides, kernel_size, binarize_weights)
    images = np.random.default_rng(1).normal(size=(2, size, size, 4)).astype(np.float32)
    kernel = layer.kernel.numpy()
    if binarize_weights:
        kernel = np.abs(kernel).mean(axis=(0, 1, 2)) * np.where(kernel >= 0, 1, -1)
    signs = np.where(images + layer.input_quantizer.bias >= 0, 1, -1)
    np.testing.assert_allclose(layer(images), convolve(signs, kernel, strides), atol=1e-5)


def test_gradients_pass_through_both_quantizers():
    layer = random_layer(1, 1, binarize_weights=True)
    images = np.random.default_rng(1).normal(size=(2, 3, 3, 4)).astype(np.float32)
    kernel, bias = layer.kernel.numpy(), layer.input_quantizer.bias.numpy()
    kernel[0, 0, 0, 0] = 1.5  # outside the interval in which the gradient passes
    layer.kernel.assign(kernel)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(images))
    to_kernel, to_bias = tape.gradient(loss, [layer.kernel, layer.input_quantizer.bias])

    shifted = images + bias
    through_kernel = np.where(shifted >= 0, 1, -1).sum(axis=(0, 1, 2))[:, np.newaxis]
    expected = np.where(np.abs(kernel) <= 1, through_kernel, 0)
    np.testing.assert_allclose(to_kernel, expected, atol=1e-5)
    binary = np.abs(kernel).mean(axis=(0, 1, 2)) * np.where(kernel >= 0, 1, -1)
    slope = np.maximum(0, 2 - 2 * np.abs(shifted)).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(to_bias, slope * binary[0, 0].sum(axis=-1), atol=1e-4)


def test_step_2_starts_from_the_weights_of_step_1():
    step1 = random_layer(1, 3, binarize_weights=False)
    step2 = random_layer(1, 3, binarize_weights=True)
    assert [w.shape for w in step1.weights] == [w.shape for w in step2.weights]
    step2.set_weights(step1.get_weights())
    # With weights that are already binary, both compute the same function.
    binary = step2.kernel_quantizer(step1.kernel)
    step1.kernel.assign(binary)
    step2.kernel.assign(binary)
    images = np.random.default_rng(1).normal(size=(2, 8, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(step1(images), step2(images), atol=1e-5)


def test_default_quantizers_and_padding():
    layer = BinaryConv2D(4, 3)
    assert isinstance(layer.input_quantizer, RSign)
    assert isinstance(layer.kernel_quantizer, ScaledSign)
    assert (layer.padding, layer.use_bias) == ("same", False)
    assert BinaryConv2D(4, 3, binarize_weights=False).kernel_quantizer is None


def test_another_input_quantizer_and_larqs_own_arguments():
    layer = BinaryConv2D(4, 3, input_quantizer="ste_sign", padding="valid", use_bias=True)
    assert layer(np.ones((1, 6, 6, 2), np.float32)).shape == (1, 4, 4, 4)
    assert len(layer.weights) == 2  # kernel and bias: ste_sign has no threshold


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_uses_signs_and_scales_of_the_stored_weights(policy):
    """In float16 a weight of -1e-9 is zero, and the sign of zero is +1."""
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        layer = BinaryConv2D(2, 1)
        layer.build((1, 4, 4, 3))
    finally:
        tf.keras.mixed_precision.set_global_policy(None)
    inputs = tf.ones((1, 4, 4, 3))
    kernel = np.full((1, 1, 3, 2), 1e-3, np.float32)
    kernel[0, 0, 0] = -1e-9
    layer.kernel.assign(kernel)
    with tf.GradientTape() as tape:
        output = layer(inputs)
        total = tf.reduce_sum(tf.cast(output, tf.float32))
    assert output.dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(tf.cast(output, tf.float32), 1e-3 * 2 / 3, rtol=1e-2)
    gradient = tape.gradient(total, layer.trainable_variables[0])
    assert gradient.dtype == tf.float32
    np.testing.assert_allclose(gradient, 16.0)
