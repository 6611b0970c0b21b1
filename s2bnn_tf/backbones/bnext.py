"""BNext: the layout of ReActNet, and behind each binary convolution a gate that it learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import larq as lq
import tensorflow as tf

from s2bnn_tf.backbones.batch_norm import batch_norm
from s2bnn_tf.backbones.layout import apply_stem, blocks, check_stem
from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.layers import BinaryConv2D, ChannelBias

keras = tf.keras

# Applies a convolution: input, filters, kernel size, strides and name.
Convolution = Callable[[tf.Tensor, int, int, int, str], tf.Tensor]

_CLIP = 1.5  # of latent weights, and of the gradient of both signs
_SQUEEZE = 8  # channels to one of a gate's hidden layer


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class UnitInterval(keras.constraints.Constraint):
    """Keep weights between 0 and 1."""

    def __call__(self, weights: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(weights, 0.0, 1.0)


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class Recoupling(keras.layers.Layer):
    """Mix two maps, or their means, by one learned share per channel.

    `y = share * before + (1 - share) * after`; the share starts at 1/2 and stays in [0, 1].

    >>> Recoupling()([tf.constant([[2.0]]), tf.constant([[4.0]])]).numpy()
    array([[3.]], dtype=float32)

    Input shape:  a list of two `(..., channels)`, float.
    Output shape: `(..., channels)`.

    References:
        BNext, https://arxiv.org/abs/2211.12933 ("information re-coupling").
    """

    def build(self, input_shape: list[tuple[int, ...]]) -> None:
        self.share = self.add_weight(
            name="share",
            shape=(input_shape[0][-1],),
            initializer=keras.initializers.Constant(0.5),
            constraint=UnitInterval(),
        )
        super().build(input_shape)

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        before, after = inputs
        return before * self.share + after * (1 - self.share)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config


@register_backbone("bnext")
def bnext(
    input_shape: tuple[int, int, int],
    *,
    stem: str = "imagenet",
    width: float = 1.0,
    binarize_weights: bool = True,
) -> keras.Model:
    """Build BNext-T, without its classifier.

    Args:
        input_shape: `(height, width, channels)`, in pixels.
        stem: `"imagenet"`, `"medium"` or `"small"`, as of `reactnet`.
        width: The factor on all channel counts, at least 1/32; 1.5 makes BNext-S.
        binarize_weights: False in step 1 (binary activations, real weights), True in step 2.

    Returns:
        A Keras model from normalized images `(B, H, W, C)` to features `(B, 1024 * width)`.

    Raises:
        ConfigError: If an option has an impossible value.
        ModelError: If the images are too small.

    References:
        BNext, https://arxiv.org/abs/2211.12933; layers and starting values as in its
        authors' code, https://github.com/hpi-xnor/BNext.
    """

    def conv(x: tf.Tensor, filters: int, kernel_size: int, strides: int, name: str) -> tf.Tensor:
        x = ChannelBias(name=f"{name}_threshold")(x)
        return BinaryConv2D(
            filters,
            kernel_size,
            strides=strides,
            input_quantizer=lq.quantizers.SteSign(clip_value=_CLIP),
            kernel_quantizer=lq.quantizers.SteSign(clip_value=_CLIP),
            kernel_constraint=lq.constraints.WeightClip(clip_value=_CLIP),
            kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
            binarize_weights=binarize_weights,
            name=name,
        )(x)

    return _bnext("bnext", input_shape, conv, stem, width)


@register_backbone("bnext_real")
def bnext_real(
    input_shape: tuple[int, int, int], *, stem: str = "imagenet", width: float = 1.0
) -> keras.Model:
    """Build the real-valued twin of `bnext`: the same network with ordinary convolutions.

    It shows how much accuracy binarization costs. See `bnext` for the arguments.
    """

    def conv(x: tf.Tensor, filters: int, kernel_size: int, strides: int, name: str) -> tf.Tensor:
        return keras.layers.Conv2D(
            filters, kernel_size, strides=strides, padding="same", use_bias=False, name=name
        )(x)

    return _bnext("bnext_real", input_shape, conv, stem, width)


def _bnext(
    name: str, input_shape: tuple[int, int, int], conv: Convolution, stem: str, width: float
) -> keras.Model:
    check_stem(name, stem, input_shape)
    image = keras.Input(input_shape, name="image")
    x = apply_stem(image, name, stem, width)
    for index, (channels, strides) in enumerate(blocks(name, stem, width)):
        x = _spatial(x, strides, conv, f"block{index + 1}_conv3x3", attends=index % 2 == 1)
        x = _pointwise(x, channels, conv, f"block{index + 1}_conv1x1")
    x = _prelu("prelu")(x)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, features, name=name)


def _spatial(
    x: tf.Tensor, strides: int, conv: Convolution, name: str, *, attends: bool
) -> tf.Tensor:
    """A 3x3 convolution with its gate and a shortcut, `(B, H, W, C)` to `(B, H', W', C)`.

    Where it attends ("ELM-attention"), the shortcut, behind a PReLU, is also a factor of what is
    added to it.
    """
    shortcut = _prelu(f"{name}_shortcut_prelu")(x) if attends else x
    if strides == 2:
        shortcut = keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_pool")(shortcut)
    y = _gated(x, _mean(x, f"{name}_mean_before"), x.shape[-1], 3, strides, conv, name)
    if attends:
        y = keras.layers.Multiply(name=f"{name}_attention")([y, shortcut])
    y = batch_norm(f"{name}_bn2")(y)
    return keras.layers.Add(name=f"{name}_add")([y, shortcut])


def _pointwise(x: tf.Tensor, channels: int, conv: Convolution, name: str) -> tf.Tensor:
    """A 1x1 convolution with its gate and a shortcut; two of them side by side double the channels.

    `(B, H, W, C)` becomes `(B, H, W, D)`.
    """
    mean = _mean(x, f"{name}_mean_before")
    names = [name] if channels == x.shape[-1] else [f"{name}_a", f"{name}_b"]
    branches = []
    for branch in names:
        y = _gated(x, mean, x.shape[-1], 1, 1, conv, branch)
        y = batch_norm(f"{branch}_bn2")(y)
        branches.append(keras.layers.Add(name=f"{branch}_add")([y, x]))
    if len(branches) == 1:
        return branches[0]
    return keras.layers.Concatenate(name=f"{name}_concatenate")(branches)


def _gated(
    x: tf.Tensor,
    mean: tf.Tensor,
    channels: int,
    kernel_size: int,
    strides: int,
    conv: Convolution,
    name: str,
) -> tf.Tensor:
    """A binary convolution times a gate, which sees the means before and after the convolution.

    The paper mixes the maps and takes the mean of the mixture, which is the mixture of the means:
    that of an input that is pooled for its stride is the same where its sides are even.
    """
    y = conv(x, channels, kernel_size, strides, name)
    y = batch_norm(f"{name}_bn1")(y)
    y = _prelu(f"{name}_prelu")(y)
    gate = Recoupling(name=f"{name}_recoupling")([mean, _mean(y, f"{name}_mean_after")])
    squeezed = max(1, channels // _SQUEEZE)
    gate = keras.layers.Conv2D(squeezed, 1, activation="relu", name=f"{name}_squeeze")(gate)
    gate = keras.layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_gate")(gate)
    return keras.layers.Multiply(name=f"{name}_gated")([y, gate])


def _mean(x: tf.Tensor, name: str) -> tf.Tensor:
    return keras.layers.GlobalAveragePooling2D(keepdims=True, name=name)(x)


def _prelu(name: str) -> keras.layers.PReLU:
    return keras.layers.PReLU(
        alpha_initializer=keras.initializers.Constant(0.25), shared_axes=[1, 2], name=name
    )
