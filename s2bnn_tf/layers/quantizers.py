"""The weight quantizer: the sign of a weight times the mean magnitude of its output channel."""

from __future__ import annotations

from typing import Any

import larq as lq
import tensorflow as tf

# A channel whose weights are all zero would get the scale zero, and Larq Compute Engine then
# silently keeps the whole layer in float. It does the same for a scale of 1e-7.
_SMALLEST_SCALE = 1e-6


@tf.custom_gradient
def scaled_sign(kernel: tf.Tensor) -> tf.Tensor:
    """Binarize a kernel to `-scale` and `+scale`, with one scale per output channel.

    Forward:   `y = mean(|w|) * sign(w)`, where the mean is over all axes but the last,
               with `sign(0) = +1`.
    Backward:  `dy/dw = 1` where `|w| <= 1`, else 0. The scale is treated as a constant
               and does not enter the gradient, unlike in Larq's `magnitude_aware_sign`.

    >>> scaled_sign(tf.constant([[1.0, -3.0], [-2.0, 1.0]])).numpy()
    array([[ 1.5, -2. ],
           [-1.5,  2. ]], dtype=float32)

    Args:
        kernel: A kernel in Keras's layout, `(..., channels)`, float.

    Returns:
        A tensor of the same shape and type.

    References:
        XNOR-Net, https://arxiv.org/abs/1603.05279 (scale, section 3.1).
        ReActNet, https://arxiv.org/abs/2003.03488 (gradient without the scale).
    """
    kernel = tf.convert_to_tensor(kernel)  # keeps its dtype under mixed precision too
    axes = list(range(len(kernel.shape) - 1))
    scale = tf.reduce_mean(tf.abs(kernel), axis=axes, keepdims=True)
    scale = tf.maximum(scale, tf.cast(_SMALLEST_SCALE, kernel.dtype))

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.abs(kernel) <= 1, upstream, tf.zeros_like(upstream))

    return tf.where(kernel >= 0, scale, -scale), gradient


# Under these names, Larq finds it: in `.h5` files, and where users write `"ScaledSign"`.
@lq.utils.register_alias("scaled_sign")
@lq.utils.register_keras_custom_object
@tf.keras.utils.register_keras_serializable(package="s2bnn_tf")
class ScaledSign(lq.quantizers._BaseQuantizer):
    """The function `scaled_sign` as an object, for `kernel_quantizer=` of any Larq layer.

    Its name `"ScaledSign"` does as well, once `s2bnn_tf.layers` is imported. Within
    `lq.context.metrics_scope(["flip_ratio"])`, it counts changes of sign, as Larq's quantizers do.

    >>> layer = lq.layers.QuantConv2D(8, 3, kernel_quantizer="ScaledSign")

    Args:
        **kwargs: `name`, and `metrics=["flip_ratio"]` for the metric without the scope.

    Input shape:  `(..., channels)`, float.
    Output shape: same as the input.

    References:
        XNOR-Net, https://arxiv.org/abs/1603.05279.
    """

    precision = 1

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = scaled_sign(inputs)
        if self._custom_metrics:
            super().call(tf.sign(outputs))  # Larq compares integers
        return outputs
