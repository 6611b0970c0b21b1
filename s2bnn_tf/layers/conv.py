"""The binary convolution: the one place where `lq.layers.QuantConv2D` is configured."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import larq as lq
import tensorflow as tf
from keras.src.mixed_precision import autocast_variable

from s2bnn_tf.layers.activations import RSign
from s2bnn_tf.layers.quantizers import ScaledSign, scaled_sign

keras = tf.keras

# Larq warns about every binary kernel without a constraint. ReActNet trains without one: its
# weights stay far inside the interval in which their gradient passes.
logging.getLogger("larq.layers_base").addFilter(
    lambda record: "kernel_constraint" not in record.getMessage()
)


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class BinaryConv2D(lq.layers.QuantConv2D):
    """A 2-D convolution with inputs of one bit each and, in step 2, weights of one bit each.

    Step 1 (`binarize_weights=False`):  `y = conv(rsign(x), kernel)`.
    Step 2 (`binarize_weights=True`):   `y = conv(rsign(x), scaled_sign(kernel))`.

    Both steps of two-step training have the same variables, so step 2 can start from the
    weights that step 1 learned.

    Larq Compute Engine converts the layer of step 2 into one `LceBconv2d`. It has no bias,
    since a BatchNormalization follows.

    >>> layer = BinaryConv2D(64, 3, strides=2)
    >>> layer(tf.ones([1, 8, 8, 32])).shape
    TensorShape([1, 4, 4, 64])

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel, an integer or a pair of integers.
        binarize_weights: Whether the weights are binary too (step 2).
        input_quantizer: The quantizer that binarizes the input; defaults to `RSign()`.
        padding: `"same"` pads with zeros, as the reference implementation does, or `"valid"`.
        use_bias: Whether to add a bias.
        **kwargs: Any other argument of `lq.layers.QuantConv2D`.

    Input shape:  `(batch, height, width, channels)`, float.
    Output shape: `(batch, new_height, new_width, filters)`, float.

    References:
        ReActNet, https://arxiv.org/abs/2003.03488.
        Two-step training: Real-to-Binary, https://arxiv.org/abs/2003.11535.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        *,
        binarize_weights: bool = True,
        input_quantizer: Any = None,
        padding: str = "same",
        use_bias: bool = False,
        **kwargs: Any,
    ):
        kwargs.pop("kernel_quantizer", None)  # binarize_weights decides, also when loading
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

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        if self.binarize_weights and self.compute_dtype != self.variable_dtype:
            self.kernel.quantizer = _in_full_precision(self.kernel, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {**super().get_config(), "binarize_weights": self.binarize_weights}
        del config["kernel_quantizer"]
        return config


def _in_full_precision(kernel: Any, dtype: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """Make a quantizer of the stored weights, in place of their rounding to float16.

    Half precision rounds small negative weights to zero, which has a positive sign.
    """
    latent = kernel.latent_variable

    def quantize(_: tf.Tensor) -> tf.Tensor:
        with autocast_variable.enable_auto_cast_variables(None):
            return tf.cast(scaled_sign(latent.value()), dtype)

    return quantize
