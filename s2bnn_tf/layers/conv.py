"""The binary convolution: the one place where `lq.layers.QuantConv2D` is configured."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import larq as lq
import tensorflow as tf

from s2bnn_tf.environment import keras_module
from s2bnn_tf.layers import native
from s2bnn_tf.layers.activations import RSign
from s2bnn_tf.layers.quantizers import ScaledSign

keras = tf.keras
# Where counting bits is no slower than float32, gathering them included
_FEWEST_CHANNELS, _FEWEST_PRODUCTS = 32, 64
autocast_variable = keras_module("src.mixed_precision.autocast_variable")


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class BinaryConv2D(lq.layers.QuantConv2D):
    """A 2-D convolution with inputs of one bit each and, in step 2, weights of one bit each.

    Step 1 (`binarize_weights=False`):  `y = conv(rsign(x), kernel)`.
    Step 2 (`binarize_weights=True`):   `y = conv(rsign(x), scaled_sign(kernel))`.

    Both steps of two-step training have the same variables, so step 2 can start from the
    weights that step 1 learned.

    It is a `lq.layers.QuantConv2D`, with the same arguments in the same order and other defaults.
    Larq Compute Engine converts the layer of step 2 into one `LceBconv2d`. It has no bias,
    since a BatchNormalization follows.

    >>> layer = BinaryConv2D(64, 3, strides=2)
    >>> layer(tf.ones([1, 8, 8, 32])).shape
    TensorShape([1, 4, 4, 64])

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel, an integer or a pair of integers.
        strides: Steps in height and width, an integer or a pair of integers.
        padding: `"same"` pads with `pad_values`, or `"valid"`.
        pad_values: Padded by `"same"`: 0, as the reference implementation does, or 1.
        data_format: `"channels_last"` or `"channels_first"`; defaults to Keras's setting.
        dilation_rate: Distance of the kernel's elements, an integer or a pair of integers.
        groups: Number of groups into which input channels and filters are split.
        activation: Applied to the output, a name or a function.
        use_bias: Whether to add a bias.
        input_quantizer: The quantizer of the input, a name or an object; None leaves it real.
            `"RSign"` means one threshold per channel, whatever the `data_format`.
        kernel_quantizer: The quantizer of the weights in step 2; None leaves them real.
        binarize_weights: False in step 1, which leaves `kernel_quantizer` out.
        **kwargs: Any other argument of `lq.layers.QuantConv2D`.

    Raises:
        ValueError: If the thresholds of the `input_quantizer` are along another axis than the
            channels, or an argument is one that Larq refuses.

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
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "same",
        pad_values: float = 0.0,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = False,
        input_quantizer: Any = "RSign",
        kernel_quantizer: Any = "ScaledSign",
        *,
        binarize_weights: bool = True,
        **kwargs: Any,
    ):
        if input_quantizer in ("RSign", "r_sign"):
            data_format = data_format or keras.backend.image_data_format()
            input_quantizer = RSign(
                axis=1 if data_format == "channels_first" else -1, dtype=kwargs.get("dtype")
            )
        quantizer = lq.quantizers.get(kernel_quantizer) if binarize_weights else None
        with _unwarned() if isinstance(quantizer, ScaledSign) else contextlib.nullcontext():
            super().__init__(
                filters,
                kernel_size,
                strides=strides,
                padding=padding,
                pad_values=pad_values,
                data_format=data_format,
                dilation_rate=dilation_rate,
                groups=groups,
                activation=activation,
                use_bias=use_bias,
                input_quantizer=input_quantizer,
                kernel_quantizer=quantizer,
                **kwargs,
            )
        self.binarize_weights = quantizer is not None
        axes = (1, -3) if self.data_format == "channels_first" else (-1, 3)
        if isinstance(self.input_quantizer, RSign) and self.input_quantizer.axis not in axes:
            raise ValueError(
                f"With {self.data_format}, the input_quantizer is RSign(axis={axes[0]}), or its "
                "name 'RSign'."
            )

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        if self.kernel_quantizer is not None and self.compute_dtype != self.variable_dtype:
            self.kernel.quantizer = _in_full_precision(self.kernel, self.compute_dtype)

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        if not (native.in_use(inputs, training) and self._counts_bits):
            return super().call(inputs)
        with lq.context.quantized_scope(True):
            kernel = tf.convert_to_tensor(self.kernel)
        bias = tf.convert_to_tensor(self.input_quantizer.bias)
        return native.binary_convolution(inputs, bias, kernel, self.strides, self.padding)

    @property
    def _counts_bits(self) -> bool:
        """Whether the native kernel computes this layer, and is faster than one in float32."""
        return (
            type(self.kernel_quantizer) is ScaledSign  # one scale per filter; subclasses may differ
            and type(self.input_quantizer) is RSign
            and self.input_quantizer.built
            and self.input_quantizer.activity_regularizer is None
            and self.data_format == "channels_last"
            and self._is_native_padding  # of zeros
            and (self.groups, *self.dilation_rate) == (1, 1, 1)
            and self.kernel.shape[2] >= _FEWEST_CHANNELS
            and math.prod(self.kernel.shape[:3]) >= _FEWEST_PRODUCTS
            and not self.use_bias
            and self.activation is keras.activations.linear
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "binarize_weights": self.binarize_weights}


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """Keep Larq from warning about a binary kernel without a constraint.

    ReActNet trains without one: its weights stay far inside the interval in which the gradient of
    `scaled_sign` passes.
    """

    def is_another(record: logging.LogRecord) -> bool:
        return "kernel_constraint" not in record.getMessage()

    log = logging.getLogger("larq.layers_base")
    log.addFilter(is_another)
    try:
        yield
    finally:
        log.removeFilter(is_another)


def _in_full_precision(kernel: Any, dtype: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """Make a quantizer of the stored weights, in place of their rounding to float16.

    Half precision rounds small negative weights to zero, which has a positive sign.
    """
    latent, quantizer = kernel.latent_variable, kernel.quantizer
    if isinstance(quantizer, keras.layers.Layer):
        quantizer._autocast = False  # it would round them itself

    def quantize(_: tf.Tensor) -> tf.Tensor:
        with autocast_variable.enable_auto_cast_variables(None):
            return tf.cast(quantizer(latent.value()), dtype)

    return quantize
