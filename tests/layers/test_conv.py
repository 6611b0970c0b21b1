"""BinaryConv2D against a convolution written out in NumPy, in both steps."""

from __future__ import annotations

import inspect

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.layers import BinaryConv2D, RSign
from s2bnn_tf.layers.quantizers import ScaledSign

pytestmark = pytest.mark.both_sets


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


def positional(layer: type) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
    parameters = inspect.signature(layer.__init__).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def test_arguments_have_larqs_order():
    ours, theirs = positional(BinaryConv2D), positional(lq.layers.QuantConv2D)
    assert ours == theirs[: len(ours)]
    assert ours[-1] == "kernel_quantizer"
    layer = BinaryConv2D(4, 3, 2, "valid", 1.0, "channels_last", 1, 2, "relu", True, None, None)
    config = layer.get_config()
    assert (config["strides"], config["padding"], config["pad_values"]) == ((2, 2), "valid", 1.0)
    assert (config["groups"], config["activation"], config["use_bias"]) == (2, "relu", True)


def test_quantizers_are_those_that_were_asked_for():
    layer = BinaryConv2D(4, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
    assert isinstance(layer.kernel_quantizer, lq.quantizers.SteSign)
    layer.build((None, 6, 6, 2))
    binary = layer.kernel_quantizer(tf.constant(layer.kernel.numpy()))
    assert set(np.abs(binary).ravel()) == {1.0}
    again = BinaryConv2D.from_config(layer.get_config())
    assert isinstance(again.kernel_quantizer, lq.quantizers.SteSign)
    assert again.binarize_weights

    real = BinaryConv2D(4, 3, input_quantizer=None, kernel_quantizer=None)
    assert (real.input_quantizer, real.kernel_quantizer) == (None, None)
    assert not real.binarize_weights
    images = np.random.default_rng(0).normal(size=(1, 6, 6, 2)).astype(np.float32)
    np.testing.assert_allclose(real(images), convolve(images, real.kernel.numpy(), 1), atol=1e-5)
    again = BinaryConv2D.from_config(real.get_config())
    assert (again.input_quantizer, again.kernel_quantizer) == (None, None)


def test_a_configuration_that_was_saved_without_a_kernel_quantizer():
    """Files of version 0.1.0 say only `binarize_weights`."""
    for binarize_weights, kind in ((True, ScaledSign), (False, type(None))):
        config = BinaryConv2D(4, 3, binarize_weights=binarize_weights).get_config()
        del config["kernel_quantizer"]
        assert isinstance(BinaryConv2D.from_config(config).kernel_quantizer, kind)


@pytest.mark.parametrize("name", ["RSign", "r_sign"])
def test_channels_first_has_a_threshold_for_each_channel(name):
    layer = BinaryConv2D(4, 1, data_format="channels_first", input_quantizer=name)
    layer.build((None, 3, 5, 7))
    quantizer = layer.input_quantizer
    quantizer.build((None, 3, 5, 7))
    assert quantizer.bias.shape == (3,)
    quantizer.bias.assign([0.5, 0.0, -0.5])
    images = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(np.float32)
    shifted = images + np.float32([0.5, 0.0, -0.5])[:, None, None]
    np.testing.assert_array_equal(quantizer(images), np.where(shifted >= 0, 1, -1))
    again = BinaryConv2D.from_config(layer.get_config())
    assert (again.data_format, again.input_quantizer.axis) == ("channels_first", 1)


@pytest.mark.parametrize(("data_format", "axis"), [("channels_first", -1), ("channels_last", 1)])
def test_thresholds_along_another_axis_than_the_channels(data_format, axis):
    with pytest.raises(ValueError, match=f"With {data_format}, the input_quantizer is RSign"):
        BinaryConv2D(4, 3, data_format=data_format, input_quantizer=RSign(axis=axis))


def test_larq_still_warns_of_layers_of_others(caplog):
    BinaryConv2D(4, 3)
    assert not caplog.records
    lq.layers.QuantConv2D(4, 3, kernel_quantizer="ste_sign")
    assert "without setting `kernel_constraint`" in caplog.text
    caplog.clear()
    BinaryConv2D(4, 3, kernel_quantizer="ste_sign")
    assert "without setting `kernel_constraint`" in caplog.text


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_larqs_scope_of_metrics_counts_flips(policy):
    with lq.context.metrics_scope(["flip_ratio"]):
        layer = BinaryConv2D(2, 1, name="conv", dtype=policy)
    model = tf.keras.Sequential([tf.keras.Input((4, 4, 4)), layer])
    kernel = np.full((1, 1, 4, 2), 0.5, np.float32)
    for flipped in (0, 1, 3):  # of the eight weights, each time in addition
        kernel.ravel()[:flipped] *= -1
        layer.set_weights([layer.get_weights()[0] * 0 + kernel, np.zeros(4, np.float32)])
        model(tf.ones((1, 4, 4, 4)))
    (metric,) = model.metrics
    assert metric.name.startswith("flip_ratio/scaled_sign")
    np.testing.assert_allclose(metric.result(), (1 / 8 + 3 / 8) / 2, atol=0.01)
    assert [weight.shape for weight in layer.weights] == [(1, 1, 4, 2), (4,)]  # none of the metric
