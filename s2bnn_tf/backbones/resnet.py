"""ResNet v1.5, the real-valued teachers: the stride of a bottleneck is in its 3x3 convolution."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.errors import UserError

keras = tf.keras


@register_backbone("resnet18")
def resnet18(
    input_shape: tuple[int, int, int], *, stem: str = "imagenet", width: float = 1.0
) -> keras.Model:
    """ResNet-18: `(B, H, W, 3)` to `(B, 512 * width)`. See `resnet50` for the arguments."""
    return _resnet("resnet18", input_shape, _basic_block, (2, 2, 2, 2), stem, width)


@register_backbone("resnet34")
def resnet34(
    input_shape: tuple[int, int, int], *, stem: str = "imagenet", width: float = 1.0
) -> keras.Model:
    """ResNet-34: `(B, H, W, 3)` to `(B, 512 * width)`. See `resnet50` for the arguments."""
    return _resnet("resnet34", input_shape, _basic_block, (3, 4, 6, 3), stem, width)


@register_backbone("resnet50")
def resnet50(
    input_shape: tuple[int, int, int], *, stem: str = "imagenet", width: float = 1.0
) -> keras.Model:
    """ResNet-50 in the v1.5 form of torchvision, MoCo and SwAV, without its classifier.

    `keras.applications.ResNet50` is another network: it strides in the 1x1
    convolution and has biases.

    Args:
        input_shape: `(height, width, 3)` in pixels.
        stem: `"imagenet"`: 7x7 convolution of stride 2 and max pooling;
            `"small"`: 3x3 convolution of stride 1, for images of 64 pixels or less.
        width: Multiplier of all channel counts (SwAV's RN50-w4 is 4).

    Returns:
        A Keras model from normalised images `(B, H, W, 3)` to features
        `(B, 2048 * width)`.

    Raises:
        UserError: if an option has an impossible value.

    References:
        https://arxiv.org/abs/1512.03385; the small stem is its CIFAR form, section 4.2.
    """
    return _resnet("resnet50", input_shape, _bottleneck, (3, 4, 6, 3), stem, width)


def _resnet(name, input_shape, block, depths, stem: str, width: float) -> keras.Model:
    if stem not in ("imagenet", "small"):
        raise UserError(f"stem is 'imagenet' or 'small', not {stem!r}.")
    if round(64 * width) < 1:
        raise UserError(f"{name}'s width must be at least {1 / 64}, not {width}.")
    image = keras.Input(input_shape, name="image")
    base = round(64 * width)
    if stem == "imagenet":
        x = _conv_bn(image, base, 7, 2, name="stem")
        x = keras.layers.ReLU(name="stem_relu")(x)
        # After ReLU, padding with zeros or with minus infinity is the same.
        x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    else:
        x = _conv_bn(image, base, 3, 1, name="stem")
        x = keras.layers.ReLU(name="stem_relu")(x)
    for stage, depth in enumerate(depths):
        for index in range(depth):
            strides = 2 if stage > 0 and index == 0 else 1
            x = block(x, base * 2**stage, strides, name=f"layer{stage + 1}_{index}")
    features = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, features, name=name)


def _basic_block(x, channels: int, strides: int, name: str):
    shortcut = _shortcut(x, channels, strides, name)
    x = _conv_bn(x, channels, 3, strides, name=f"{name}_1")
    x = keras.layers.ReLU(name=f"{name}_relu1")(x)
    x = _conv_bn(x, channels, 3, 1, name=f"{name}_2")
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_relu2")(x)


def _bottleneck(x, channels: int, strides: int, name: str):
    shortcut = _shortcut(x, 4 * channels, strides, name)
    x = _conv_bn(x, channels, 1, 1, name=f"{name}_1")
    x = keras.layers.ReLU(name=f"{name}_relu1")(x)
    x = _conv_bn(x, channels, 3, strides, name=f"{name}_2")
    x = keras.layers.ReLU(name=f"{name}_relu2")(x)
    x = _conv_bn(x, 4 * channels, 1, 1, name=f"{name}_3")
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_relu3")(x)


def _shortcut(x, channels: int, strides: int, name: str):
    if strides == 1 and x.shape[-1] == channels:
        return x
    return _conv_bn(x, channels, 1, strides, name=f"{name}_shortcut")


def _conv_bn(x, channels: int, kernel_size: int, strides: int, name: str):
    x = keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, mode="fan_out"),
        name=f"{name}_conv",
    )(x)
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
