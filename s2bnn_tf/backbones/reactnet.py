"""ReActNet: MobileNet v1 with binary convolutions, shortcuts around each, and learned shifts."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from s2bnn_tf.backbones.batch_norm import batch_norm
from s2bnn_tf.backbones.layout import apply_stem, blocks, check_stem
from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.backbones.reversal import ReverseImage
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.layers import BinaryConv2D, RPReLU

keras = tf.keras

# Makes a convolution of filters, kernel size, strides and name.
Convolution = Callable[[int, int, int, str], keras.layers.Layer]

KERNEL_INITIALIZERS = {
    "glorot_uniform": keras.initializers.GlorotUniform,
    # As in the reference implementation: every sign starts positive.
    "small_positive": lambda: keras.initializers.RandomUniform(0.0, 1e-3),
}


@register_backbone("reactnet")
def reactnet(
    input_shape: tuple[int, int, int],
    *,
    stem: str = "imagenet",
    width: float = 1.0,
    binarize_weights: bool = True,
    kernel_initializer: str = "glorot_uniform",
    reverse_input: bool = False,
) -> keras.Model:
    """Build ReActNet-A, without its classifier.

    Args:
        input_shape: `(height, width, channels)`, in pixels.
        stem: `"imagenet"` reduces height and width 32 times, for images of 128 pixels or
            more. `"medium"` reduces them 16 times, for images of 64 to 128 pixels: the last
            downsampling block has no stride. `"small"` reduces them 8 times, for images of 32 to
            64 pixels: the first convolution has no stride either, at four times the work.
        width: The factor on all channel counts, at least 1/32.
        binarize_weights: False in step 1 (binary activations, real weights),
            True in step 2.
        kernel_initializer: `"glorot_uniform"`, or `"small_positive"` as in the
            reference implementation: uniform in [0, 0.001).
        reverse_input: Whether the kernels are rotated by 180 degrees, as those imported
            from PyTorch are; the network then rotates the image too. See `ReverseImage`.

    Returns:
        A Keras model from normalized images `(B, H, W, 3)` to features
        `(B, 1024 * width)`.

    Raises:
        ConfigError: If an option has an impossible value.
        ModelError: If the images are too small.

    References:
        ReActNet, https://arxiv.org/abs/2003.03488, figure 4.
    """
    if kernel_initializer not in KERNEL_INITIALIZERS:
        known = " or ".join(repr(name) for name in KERNEL_INITIALIZERS)
        raise ConfigError(f"kernel_initializer is {known}, not {kernel_initializer!r}.")

    def conv(filters: int, kernel_size: int, strides: int, name: str) -> BinaryConv2D:
        return BinaryConv2D(
            filters,
            kernel_size,
            strides=strides,
            binarize_weights=binarize_weights,
            kernel_initializer=KERNEL_INITIALIZERS[kernel_initializer](),
            name=name,
        )

    return _reactnet("reactnet", input_shape, conv, stem, width, reverse_input)


@register_backbone("reactnet_real")
def reactnet_real(
    input_shape: tuple[int, int, int],
    *,
    stem: str = "imagenet",
    width: float = 1.0,
    reverse_input: bool = False,
) -> keras.Model:
    """Build the real-valued twin of `reactnet`: the same network with ordinary convolutions.

    It shows how much accuracy binarization costs. See `reactnet` for the arguments.
    """

    def conv(filters: int, kernel_size: int, strides: int, name: str) -> keras.layers.Conv2D:
        return keras.layers.Conv2D(
            filters, kernel_size, strides=strides, padding="same", use_bias=False, name=name
        )

    return _reactnet("reactnet_real", input_shape, conv, stem, width, reverse_input)


def _reactnet(
    name: str,
    input_shape: tuple[int, int, int],
    conv: Convolution,
    stem: str,
    width: float,
    reverse_input: bool,
) -> keras.Model:
    check_stem(name, stem, input_shape)
    image = keras.Input(input_shape, name="image")
    x = ReverseImage(name="reverse")(image) if reverse_input else image
    x = apply_stem(x, name, stem, width)
    for index, (channels, stride) in enumerate(blocks(name, stem, width)):
        x = _block(x, channels, stride, conv, name=f"block{index + 1}")
    features = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, features, name=name)


def _block(x: tf.Tensor, channels: int, strides: int, conv: Convolution, name: str) -> tf.Tensor:
    """Apply a 3x3 and then a 1x1 convolution, each with a shortcut around it.

    `(B, H, W, C)` becomes `(B, H', W', D)`.
    """
    shortcut = x
    if strides == 2:
        shortcut = keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_pool")(x)
    x = conv(x.shape[-1], 3, strides, f"{name}_conv3x3")(x)
    x = batch_norm(f"{name}_bn1")(x)
    x = keras.layers.Add(name=f"{name}_add1")([x, shortcut])
    x = RPReLU(name=f"{name}_rprelu1")(x)

    shortcut = x
    if channels == 2 * x.shape[-1]:
        # The paper has two parallel 1x1 convolutions here, adds each to the shortcut and
        # concatenates the sums. Scale and BatchNorm are per output channel, so a single
        # convolution with all the channels computes the same function.
        shortcut = keras.layers.Concatenate(name=f"{name}_repeat")([x, x])
    x = conv(channels, 1, 1, f"{name}_conv1x1")(x)
    x = batch_norm(f"{name}_bn2")(x)
    x = keras.layers.Add(name=f"{name}_add2")([x, shortcut])
    return RPReLU(name=f"{name}_rprelu2")(x)
