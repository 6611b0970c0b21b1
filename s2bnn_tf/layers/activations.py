"""Activations with learned shifts per channel, which ReActNet adds to Bi-Real Net."""

from __future__ import annotations

from typing import Any

import larq as lq
import tensorflow as tf

from s2bnn_tf.layers import native

keras = tf.keras


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class ChannelBias(keras.layers.Layer):
    """Shift every channel by a learned constant: `y = x + bias`.

    >>> ChannelBias()(tf.ones([1, 2, 2, 3])).shape
    TensorShape([1, 2, 2, 3])

    Input shape:  `(..., channels)`, float.
    Output shape: same as the input.

    References:
        ReActNet, https://arxiv.org/abs/2003.03488, section 4.2.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: tf.TensorShape) -> None:
        self.bias = self.add_weight(name="bias", shape=(input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs + self.bias


# Under these names, Larq finds it: in `.h5` files, and where users write `"RSign"`.
@lq.utils.register_alias("r_sign")
@lq.utils.register_keras_custom_object
@keras.utils.register_keras_serializable(package="s2bnn_tf")
class RSign(lq.quantizers.Quantizer):
    """Binarize activations around a learned, per-channel threshold.

    Forward:   `y = sign(x + bias)`, with `sign(0) = +1`.
    Backward:  `dy/dx = max(0, 2 - 2|x + bias|)`, the derivative of the
               piecewise-quadratic approximation of sign.

    It is both a layer and a Larq quantizer: place `RSign()` between two layers, or pass it, or its
    name `"RSign"`, as the `input_quantizer` of any Larq layer.

    >>> RSign()(tf.constant([[-0.5, 0.0, 2.0]])).numpy()
    array([[-1.,  1.,  1.]], dtype=float32)

    Args:
        axis: The axis of the channels; 1 for images with channels first.
        **kwargs: The arguments of any Keras layer, such as `name`.

    Input shape:  `(..., channels)`, float; with another `axis`, the channels are there.
    Output shape: same as the input; every value is -1 or +1.

    References:
        ReActNet, https://arxiv.org/abs/2003.03488, equation 3 (learned threshold).
        Bi-Real Net, https://arxiv.org/abs/1808.00278 (approximate gradient).
    """

    precision = 1

    def __init__(self, axis: int = -1, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axis
        self.supports_masking = True

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = (input_shape[self.axis],)
        self.bias = self.add_weight(name="bias", shape=shape, initializer="zeros")
        after = len(input_shape) - 1 - self.axis if self.axis >= 0 else -1 - self.axis
        self.dimensions_after = after
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        bias = self.bias
        if not self.dimensions_after and native.in_use(inputs, training):
            return native.rsign(inputs, tf.convert_to_tensor(bias))
        if self.dimensions_after:
            bias = tf.reshape(bias, (-1, *(1,) * self.dimensions_after))
        return lq.quantizers.approx_sign(inputs + bias)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class RPReLU(keras.layers.Layer):
    """PReLU with a learned shift before and after it; all three are learned per channel.

    `y = prelu(x + shift_in) + shift_out`, where `prelu(z)` is `z` for `z > 0` and
    `slope * z` elsewhere. The slope starts at 0.25 and both shifts at zero.

    >>> RPReLU()(tf.constant([[-4.0, 4.0]])).numpy()
    array([[-1.,  4.]], dtype=float32)

    Input shape:  `(..., channels)`, float.
    Output shape: same as the input.

    References:
        ReActNet, https://arxiv.org/abs/2003.03488, equation 4.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = (input_shape[-1],)
        self.shift_in = self.add_weight(name="shift_in", shape=shape, initializer="zeros")
        self.slope = self.add_weight(
            # With this rank the TFLite converter emits one PRELU, as for Keras's own layer.
            name="slope",
            shape=(1,) * (len(input_shape) - 2) + shape,
            initializer=keras.initializers.Constant(0.25),
        )
        self.shift_out = self.add_weight(name="shift_out", shape=shape, initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        if native.in_use(inputs, training):
            weights = (self.shift_in, self.slope, self.shift_out)
            return native.rprelu(inputs, *map(tf.convert_to_tensor, weights))
        shifted = inputs + self.shift_in
        # The TFLite converter recognizes this form as one PRELU operation.
        rectified = tf.nn.relu(shifted) + (-self.slope * tf.nn.relu(-shifted))
        return rectified + self.shift_out
