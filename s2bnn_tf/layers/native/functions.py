"""The kernels as functions with gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from s2bnn_tf.layers.native.library import operations


@tf.custom_gradient
def rsign(inputs: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Compute what `RSign` does.

    Args:
        inputs: `(..., C)`, float32.
        bias: `(C,)`, float32.

    Returns:
        A tensor like the inputs, of -1 and +1; NaN where an input is NaN.
    """

    def gradient(upstream: tf.Tensor) -> Any:
        return operations().s2bnn_sign_gradient(inputs, bias, upstream)

    return operations().s2bnn_sign(inputs, bias), gradient


@tf.custom_gradient
def rprelu(
    inputs: tf.Tensor, shift_in: tf.Tensor, slope: tf.Tensor, shift_out: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Compute what `RPReLU` does.

    Args:
        inputs: `(..., C)`, float32.
        shift_in: `(C,)`, float32, like `shift_out`.
        slope: `C` numbers, one for each channel, in any shape.
        shift_out: See `shift_in`.

    Returns:
        A tensor like the inputs.
    """

    def gradient(upstream: tf.Tensor) -> Any:
        return operations().s2bnn_rp_re_lu_gradient(inputs, shift_in, slope, upstream)

    return operations().s2bnn_rp_re_lu(inputs, shift_in, slope, shift_out), gradient


def binary_convolution(
    inputs: tf.Tensor, bias: tf.Tensor, kernel: tf.Tensor, strides: Sequence[int], padding: str
) -> tf.Tensor:
    """Convolve the signs of a map by a kernel whose weights differ only in sign in each filter.

    The forward pass counts bits. Only the gradients are convolutions in float32; for them, the
    signs are computed once more, so that they take no memory in between.

    Args:
        inputs: Maps `(B, H, W, C)`, float32, whose signs `RSign` takes.
        bias: The thresholds of `RSign`, `(C,)`, negated.
        kernel: `(height, width, C, filters)`, as `scaled_sign` makes it.
        strides: Steps in height and width.
        padding: `"same"`, by zeros, or `"valid"`.

    Returns:
        Maps `(B, H', W', filters)`. If an input is NaN, everything is.
    """
    steps, edge = [1, *strides, 1], padding.upper()

    @tf.custom_gradient
    def convolve(
        inputs: tf.Tensor, bias: tf.Tensor, kernel: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            to_signs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs),
                filter=kernel,
                out_backprop=upstream,
                strides=steps,
                padding=edge,
            )
            to_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=operations().s2bnn_sign(inputs, bias),
                filter_sizes=kernel.shape,
                out_backprop=upstream,
                strides=steps,
                padding=edge,
            )
            to_inputs = operations().s2bnn_sign_gradient(inputs, bias, to_signs)
            return (*to_inputs, to_kernel)

        outputs = operations().s2bnn_binary_conv(inputs, bias, kernel, strides=steps, padding=edge)
        return outputs, gradient

    return convolve(inputs, bias, kernel)
