"""The binary convolution: the one place where `lq.layers.QuantConv2D` is configured."""

from __future__ import annotations

import logging

import larq as lq
import tensorflow as tf
from keras.src.mixed_precision import autocast_variable

from s2bnn_tf.layers.activations import RSign
from s2bnn_tf.layers.quantizers import ScaledSign, scaled_sign

keras = tf.keras

# Larq warns of every binary kernel without a constraint. ReActNet trains without
# one: its weights stay far inside the interval in which their gradient passes.
logging.getLogger("larq.layers_base").addFilter(
    lambda record: "kernel_constraint" not in record.getMessage()
)


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class BinaryConv2D(lq.layers.QuantConv2D):
    """A 2-D convolution whose inputs, and in step 2 also weights, are one bit each.

    `y = conv(rsign(x), scaled_sign(kernel))` with `binarize_weights=True`,
    `y = conv(rsign(x), kernel)` without: step 1 of two-step training. Both have
    the same weights, so that step 2 starts from what step 1 learned.

    Larq Compute Engine turns it into one `LceBconv2d`. There is no bias:
    a BatchNormalization follows.

    >>> layer = BinaryConv2D(64, 3, strides=2)
    >>> layer(tf.ones([1, 8, 8, 32])).shape
    TensorShape([1, 4, 4, 64])

    Args:
        filters: Number of output channels.
        kernel_size: An integer or a pair of them.
        binarize_weights: Whether weights are binary too (step 2).
        input_quantizer: What binarizes the input; `RSign()` unless given.
        padding: `"same"` pads with zeros, as the reference does.
        **kwargs: All else that `lq.layers.QuantConv2D` takes.

    Input shape:  `(batch, height, width, channels)`, float.
    Output shape: `(batch, new_height, new_width, filters)`, float.

    References:
        ReActNet, https://arxiv.org/abs/2003.03488.
        Two-step training: Real-to-Binary, https://arxiv.org/abs/2003.11535.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        *,
        binarize_weights: bool = True,
        input_quantizer=None,
        padding: str = "same",
        use_bias: bool = False,
        **kwargs,
    ):
        kwargs.pop("kernel_quantizer", None)  # follows from binarize_weights, also on loading
        super().__init__(
            filters,
            kernel_size,
            input_quantizer=input_quantizer or RSign(),
            kernel_quantizer=ScaledSign() if binarize_weights else None,
            padding=padding,
            use_bias=use_bias,
            **kwargs,
        )
        self.binarize_weights = binarize_weights

    def build(self, input_shape):
        super().build(input_shape)
        if self.binarize_weights and self.compute_dtype != self.variable_dtype:
            self.kernel.quantizer = _in_full_precision(self.kernel, self.compute_dtype)

    def get_config(self):
        config = {**super().get_config(), "binarize_weights": self.binarize_weights}
        del config["kernel_quantizer"]
        return config


def _in_full_precision(kernel, dtype: str):
    """A quantizer that looks at the stored weights, not at their rounding to float16.

    Half precision makes zeros, and so positive signs, of small negative weights.
    """
    latent = kernel.latent_variable

    def quantize(_: tf.Tensor) -> tf.Tensor:
        with autocast_variable.enable_auto_cast_variables(None):
            return tf.cast(scaled_sign(latent.value()), dtype)

    return quantize
