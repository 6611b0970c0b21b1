"""MobileNetV2, the real-valued network that a small device would run instead of a 1-bit one."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.backbones.registry import register_backbone
from s2bnn_tf.errors import ConfigError, ModelError

keras = tf.keras

# The convolutions that lose their stride with each stem.
_WITHOUT_STRIDE: dict[str, tuple[str, ...]] = {
    "imagenet": (),
    "medium": ("Conv1",),
    "small": ("Conv1", "block_1_depthwise"),
}
_SMALLEST_IMAGE = 32  # of Keras
_SMALLEST_WIDTH = 0.1


@register_backbone("mobilenet_v2")
def mobilenet_v2(
    input_shape: tuple[int, int, int], *, stem: str = "imagenet", width: float = 1.0
) -> keras.Model:
    """Build MobileNetV2 as Keras has it, without its classifier.

    The moving averages of its batch normalization follow faster than Keras's, with a momentum of
    0.9 instead of 0.999, as in our other networks: runs here may be a few hundred steps long.

    Args:
        input_shape: `(height, width, channels)`, in pixels, each side at least 32.
        stem: `"imagenet"` reduces height and width 32 times. `"medium"` reduces them 16 times:
            the first convolution has no stride. `"small"` reduces them 8 times: the second block
            has none either.
        width: The factor on all channel counts but, below 1, on the 1280 of the last map; alpha in
            the paper. At least 0.1.

    Returns:
        A Keras model from normalized images `(B, H, W, C)` to the mean `(B, 1280)` of the last
        map.

    Raises:
        ConfigError: If an option has an impossible value.
        ModelError: If the images are too small.

    References:
        https://arxiv.org/abs/1801.04381.
    """
    if stem not in _WITHOUT_STRIDE:
        known = ", ".join(repr(known) for known in _WITHOUT_STRIDE)
        raise ConfigError(f"mobilenet_v2's stem must be one of {known}, not {stem!r}.")
    if width < _SMALLEST_WIDTH:
        raise ConfigError(f"mobilenet_v2's width must be at least {_SMALLEST_WIDTH}, not {width}.")
    if min(input_shape[:2]) < _SMALLEST_IMAGE:
        raise ModelError(
            f"mobilenet_v2 needs images of {_SMALLEST_IMAGE} pixels or more on each side, not "
            f"{input_shape[0]}x{input_shape[1]}: choose a larger image_size."
        )

    def adapted(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return keras.layers.Activation("linear", name=layer.name)
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            config["padding"] = "same"  # which is what Keras pads by hand
            if layer.name in _WITHOUT_STRIDE[stem]:
                config["strides"] = (1, 1)
        if isinstance(layer, keras.layers.BatchNormalization):
            config["momentum"] = 0.9
        return type(layer).from_config(config)

    network = keras.applications.MobileNetV2(
        input_shape, alpha=width, include_top=False, weights=None, pooling="avg"
    )
    copy = keras.models.clone_model(network, clone_function=adapted)
    return keras.Model(copy.input, copy.output, name="mobilenet_v2")
