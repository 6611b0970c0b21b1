"""ResNet v1.5, for real-valued teachers: a bottleneck strides in its 3x3 convolution."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from s2bnn_tf.backbones.batch_norm import batch_norm
from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.backbones.reversal import ReverseImage
from s2bnn_tf.errors import ConfigError

keras = tf.keras

# Applies a block: input, channels, strides, name, whether the network reverses its input.
Block = Callable[[tf.Tensor, int, int, str, bool], tf.Tensor]


@register_backbone("resnet18")
def resnet18(
    input_shape: tuple[int, int, int],
    *,
    stem: str = "imagenet",
    width: float = 1.0,
    reverse_input: bool = False,
) -> keras.Model:
    """Build ResNet-18, `(B, H, W, 3)` to `(B, 512 * width)`; arguments as for `resnet50`."""
    return _resnet("resnet18", input_shape, _basic_block, (2, 2, 2, 2), stem, width, reverse_input)


@register_backbone("resnet34")
def resnet34(
    input_shape: tuple[int, int, int],
    *,
    stem: str = "imagenet",
    width: float = 1.0,
    reverse_input: bool = False,
) -> keras.Model:
    """Build ResNet-34, `(B, H, W, 3)` to `(B, 512 * width)`; arguments as for `resnet50`."""
    return _resnet("resnet34", input_shape, _basic_block, (3, 4, 6, 3), stem, width, reverse_input)


@register_backbone("resnet50")
def resnet50(
    input_shape: tuple[int, int, int],
    *,
    stem: str = "imagenet",
    width: float = 1.0,
    reverse_input: bool = False,
) -> keras.Model:
    """Build ResNet-50 in the v1.5 form of torchvision, MoCo and SwAV, without its classifier.

    `keras.applications.ResNet50` is a different network: it strides in the 1x1 convolution
    and has biases.

    Args:
        input_shape: `(height, width, channels)`, in pixels.
        stem: `"imagenet"` is a 7x7 convolution of stride 2 and max pooling; `"small"` is a
            3x3 convolution of stride 1, for images of 64 pixels or less; `"medium"` is a 3x3
            convolution of stride 2, for a quarter of the work of `"small"`.
        width: The factor on all channel counts, at least 1/64; 4 for SwAV's RN50-w4.
        reverse_input: Whether the kernels are rotated by 180 degrees, as those imported
            from PyTorch are; the network then rotates the image too. See `ReverseImage`.

    Returns:
        A Keras model from normalized images `(B, H, W, 3)` to features
        `(B, 2048 * width)`.

    Raises:
        ConfigError: If an option has an impossible value.

    References:
        https://arxiv.org/abs/1512.03385; section 4.2 has the small stem, for CIFAR.
    """
    return _resnet("resnet50", input_shape, _bottleneck, (3, 4, 6, 3), stem, width, reverse_input)


def _resnet(
    name: str,
    input_shape: tuple[int, int, int],
    block: Block,
    depths: tuple[int, ...],
    stem: str,
    width: float,
    reverse_input: bool,
) -> keras.Model:
    if stem not in ("imagenet", "medium", "small"):
        raise ConfigError(f"stem is 'imagenet', 'medium' or 'small', not {stem!r}.")
    if round(64 * width) < 1:
        raise ConfigError(f"{name}'s width must be at least {1 / 64}, not {width}.")
    image = keras.Input(input_shape, name="image")
    x = ReverseImage(name="reverse")(image) if reverse_input else image
    base = round(64 * width)
    if stem == "imagenet":
        x = _conv_bn(x, base, 7, 2, name="stem")
        x = keras.layers.ReLU(name="stem_relu")(x)
        # After ReLU, padding with zeros gives the same as padding with minus infinity.
        x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    else:
        x = _conv_bn(x, base, 3, 1 if stem == "small" else 2, name="stem")
        x = keras.layers.ReLU(name="stem_relu")(x)
    for stage, depth in enumerate(depths):
        for index in range(depth):
            strides = 2 if stage > 0 and index == 0 else 1
            name_of_block = f"layer{stage + 1}_{index}"
            x = block(x, base * 2**stage, strides, name_of_block, reverse_input)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, features, name=name)


def _basic_block(
    x: tf.Tensor, channels: int, strides: int, name: str, reverse_input: bool
) -> tf.Tensor:
    shortcut = _shortcut(x, channels, strides, name, reverse_input)
    x = _conv_bn(x, channels, 3, strides, name=f"{name}_1")
    x = keras.layers.ReLU(name=f"{name}_relu1")(x)
    x = _conv_bn(x, channels, 3, 1, name=f"{name}_2")
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_relu2")(x)


def _bottleneck(
    x: tf.Tensor, channels: int, strides: int, name: str, reverse_input: bool
) -> tf.Tensor:
    shortcut = _shortcut(x, 4 * channels, strides, name, reverse_input)
    x = _conv_bn(x, channels, 1, 1, name=f"{name}_1")
    x = keras.layers.ReLU(name=f"{name}_relu1")(x)
    x = _conv_bn(x, channels, 3, strides, name=f"{name}_2")
    x = keras.layers.ReLU(name=f"{name}_relu2")(x)
    x = _conv_bn(x, 4 * channels, 1, 1, name=f"{name}_3")
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_relu3")(x)


def _shortcut(
    x: tf.Tensor, channels: int, strides: int, name: str, reverse_input: bool
) -> tf.Tensor:
    if strides == 1 and x.shape[-1] == channels:
        return x
    if strides == 2 and reverse_input:
        # A 1x1 convolution of stride 2 reads every other pixel, beginning with the first. In a
        # reversed map of even size, it has to begin with the second.
        first = [(1 - size % 2, 0) for size in x.shape[1:3]]
        x = keras.layers.Cropping2D(first, name=f"{name}_crop")(x)
    return _conv_bn(x, channels, 1, strides, name=f"{name}_shortcut")


def _conv_bn(x: tf.Tensor, channels: int, kernel_size: int, strides: int, name: str) -> tf.Tensor:
    x = keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, mode="fan_out"),
        name=f"{name}_conv",
    )(x)
    return batch_norm(f"{name}_bn")(x)
