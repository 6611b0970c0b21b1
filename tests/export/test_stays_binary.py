"""Every binary convolution stays binary in the file; where one does not, it is named and why."""

from __future__ import annotations

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.export import ParityError, deployment_model
from s2bnn_tf.layers import BinaryConv2D

keras = tf.keras


def magnitude_aware_conv():
    return lq.layers.QuantConv2D(
        8,
        3,
        padding="same",
        input_quantizer="ste_sign",
        kernel_quantizer="magnitude_aware_sign",
        kernel_constraint="weight_clip",
        use_bias=False,
        name="conv",
    )


@pytest.mark.parametrize("dead", [0.0, 1e-20, 1e-7, 9e-7])
@pytest.mark.parametrize("normalized", [True, False])
def test_a_dead_channel_stays_binary(wrap, normalized, dead, noise, convert_and_verify):
    """Larq Compute Engine alone would keep the whole layer in float."""

    def layers(image):
        x = magnitude_aware_conv()(keras.layers.BatchNormalization()(image))
        return keras.layers.BatchNormalization()(x) if normalized else x

    encoder = wrap(layers)
    layer = encoder.backbone.get_layer("conv")
    with lq.context.quantized_scope(False):
        kernel = layer.get_weights()[0]
        kernel[..., 2] *= dead
        layer.set_weights([kernel])
    images = noise(8, 4)
    report = convert_and_verify(encoder, images)
    assert report.binary_convolutions == 1
    assert report.dictated_error < 1e-5


def test_a_dead_channel_of_our_own_layer_stays_binary(wrap, noise, convert_and_verify):
    encoder = wrap(lambda image: BinaryConv2D(8, 3, name="conv")(image))
    layer = encoder.backbone.get_layer("conv")
    with lq.context.quantized_scope(False):
        kernel = layer.kernel.value().numpy()
    kernel[..., 2] = 0
    layer.kernel.assign(kernel)
    assert convert_and_verify(encoder, noise()).binary_convolutions == 1


def test_a_dead_channel_that_was_not_frozen_is_named(wrap, convert_and_verify):
    encoder = wrap(lambda x: magnitude_aware_conv()(keras.layers.BatchNormalization()(x)))
    deployed = deployment_model(encoder, 8)
    layer = deployed.get_layer("own").get_layer("conv")
    kernel = layer.kernel.numpy()
    kernel[..., 2] = 0
    layer.kernel.assign(kernel)
    images = np.zeros((1, 8, 8, 3), np.float32)
    with pytest.raises(
        ParityError,
        match="1 of 1 binary convolutions stayed float, the first is 'conv': its channel 2 is dead",
    ):
        convert_and_verify(encoder, images, deployed=deployed)


@keras.utils.register_keras_serializable(package="test_verify")
class UnevenSign(lq.quantizers.Quantizer):
    """A sign times a magnitude that is not one for the channel."""

    precision = 1

    def call(self, inputs):
        magnitude = tf.linspace(1.0, 1.1, inputs.shape[2])[None, None, :, None]
        return tf.where(inputs >= 0, magnitude, -magnitude)


def test_magnitudes_that_differ_are_named(wrap, noise, convert_and_verify):
    def layers(image):
        x = BinaryConv2D(8, 3, name="good")(image)
        return lq.layers.QuantConv2D(
            8,
            3,
            input_quantizer="ste_sign",
            kernel_quantizer=UnevenSign(),
            kernel_constraint="weight_clip",
            name="uneven",
        )(x)

    images = noise(8, 2)
    with pytest.raises(
        ParityError, match="1 of 2 .* the first is 'uneven': the magnitudes in its channel 0 differ"
    ):
        convert_and_verify(wrap(layers), images)
