"""The 13 blocks that ReActNet and BNext have in common, and their stems."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from s2bnn_tf.backbones.batch_norm import batch_norm
from s2bnn_tf.errors import ConfigError, ModelError

keras = tf.keras

_STEM_CHANNELS = 32
# Output channels and stride of the 13 blocks, at width 1.
_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
# How often each stem reduces height and width.
_REDUCTIONS = {"imagenet": 32, "medium": 16, "small": 8}
# On maps below 4x4, a zero-padded 3x3 filter reaches past both borders of its input, and the
# default kernel of Larq Compute Engine computes wrong values.
_SMALLEST_MAP = 4


def blocks(name: str, stem: str, width: float) -> Iterator[tuple[int, int]]:
    """The output channels and the stride of each block.

    Args:
        name: The name of the network, for messages.
        stem: `"imagenet"`, `"medium"` or `"small"`; with the last two, the last downsampling
            block has no stride.
        width: The factor on all channel counts.

    Raises:
        ConfigError: If the width is too small.
    """
    last_stride = max(index for index, (_, stride) in enumerate(_BLOCKS) if stride == 2)
    for index, (channels, stride) in enumerate(_BLOCKS):
        if stem != "imagenet" and index == last_stride:
            stride = 1
        yield _scaled(name, channels, width), stride


def apply_stem(image: tf.Tensor, name: str, stem: str, width: float) -> tf.Tensor:
    """Apply the first convolution, of real numbers, and its normalization; see `blocks`."""
    x = keras.layers.Conv2D(
        _scaled(name, _STEM_CHANNELS, width),
        3,
        strides=1 if stem == "small" else 2,
        padding="same",
        use_bias=False,
        name="stem_conv",
    )(image)
    return batch_norm("stem_bn")(x)


def _scaled(name: str, channels: int, width: float) -> int:
    """The number of channels at this width; where channels double, they still double exactly.

    Raises:
        ConfigError: If there are none.
    """
    unit = round(_STEM_CHANNELS * width)
    if unit < 1:
        raise ConfigError(f"{name}'s width must be at least {1 / _STEM_CHANNELS}, not {width}.")
    return unit * (channels // _STEM_CHANNELS)


def check_stem(name: str, stem: str, input_shape: tuple[int, int, int]) -> None:
    """Check that the stem exists and that the images are large enough for it.

    Raises:
        ConfigError: If there is no such stem.
        ModelError: If the images are too small.
    """
    if stem not in _REDUCTIONS:
        known = ", ".join(repr(known) for known in _REDUCTIONS)
        raise ConfigError(f"{name}'s stem must be one of {known}, not {stem!r}.")
    smallest = _SMALLEST_MAP * _REDUCTIONS[stem]
    if min(input_shape[:2]) < smallest:
        hint = {"imagenet": ", or stem: medium or small", "medium": ", or stem: small"}.get(
            stem, ""
        )
        raise ModelError(
            f"{name} with stem {stem!r} needs images of {smallest} pixels or more on each side, "
            f"not {input_shape[0]}x{input_shape[1]}: choose a larger image_size{hint}."
        )
