"""The deployment network: frozen, in float32, from 0-255, with its shifts folded away."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import Encoder, ReverseImage, reverses_image
from s2bnn_tf.data import channel_statistics
from s2bnn_tf.errors import CheckpointError, ConfigError, ModelError
from s2bnn_tf.export.fold import fold_shifts
from s2bnn_tf.export.freeze import frozen_copy, in_float32
from s2bnn_tf.export.maps import with_map
from s2bnn_tf.image_size import ImageSize, describe_size, height_width
from s2bnn_tf.tflite import OUTPUT_NAMES

keras = tf.keras

# The kernel (C, K) and bias (K,) of a linear classifier.
Probe = tuple[NDArray[np.float32], NDArray[np.float32]]


def deployment_model(
    encoder: Encoder,
    image_size: ImageSize,
    head: str = "none",
    probe: Probe | None = None,
    *,
    fold: bool = True,
    map_stride: int | None = None,
) -> keras.Model:
    """Build the network that goes into the file. The encoder itself stays as it is.

    - The weights are quantized once and stored as plain constants; no quantizer of weights
      remains.
    - Everything is float32, whatever the policy under which the encoder was trained.
    - Images are normalized inside, by a multiply-add of its own. Folded into a zero-padded
      convolution it would change the borders.
    - If the network begins by reversing the image, the image is reversed before it is
      normalized: the result is the same bits, and nothing comes between normalization and the
      first convolution.
    - The shifts around RPReLU are folded into their neighbors (`fold_shifts`).

    Args:
        encoder: A model from normalized images to embeddings.
        image_size: The side of the input in pixels, or its height and width.
        head: `"none"` for pooled features, `"projection"` for embeddings of unit length,
            `"linear"` for the logits of `probe`, `"map"` for the features of places,
            `"features+map"` for both, `"teacher"` for embeddings in the teacher's space, which
            are computed like those of `"projection"`, or `"teacher+map"`.
        probe: The kernel `(C, K)` and bias `(K,)` of the classifier, for `"linear"`.
        fold: Whether to fold shifts.
        map_stride: The pixels to one place of the map; see `with_map`.

    Returns:
        A Keras model from images 0-255, float32 `(1, H, W, C)`, to `(1, F)`, to the map
        `(1, h, w, F)`, or to a list of both. Its layer with the name of the encoder's backbone is
        the frozen backbone.

    Raises:
        ConfigError: If there is no such head, or no map of that stride.
        CheckpointError: If the classifier is missing or does not fit.
        ModelError: If the encoder takes images of another size, or is not a functional model.
    """
    _check(encoder, image_size, head, probe)
    encoder = with_map(in_float32(encoder), head, map_stride)
    backbone = frozen_copy(encoder.backbone)
    if fold:
        fold_shifts(backbone)
    channels = int(encoder.backbone.input_shape[-1])
    image = keras.Input((*height_width(image_size), channels), 1, name="image", dtype="float32")
    means, stds = channel_statistics(channels)
    x = image
    if reverses_image(encoder.backbone):
        x = ReverseImage(name="reverse_image", dtype="float32")(x)
    x = keras.layers.Rescaling(
        [1 / (255 * std) for std in stds],
        [-mean / std for mean, std in zip(means, stds)],
        name="normalize",
        dtype="float32",
    )(x)
    x = _with_head(backbone(x), encoder, head, probe)
    return keras.Model(image, x, name="deployed")


def _with_head(features: tf.Tensor, encoder: Encoder, head: str, probe: Probe | None) -> tf.Tensor:
    """The output of the head that was asked for, from what the backbone gives."""
    if head == "teacher+map":
        features, map_ = features
        return [_with_head(features, encoder, "teacher", probe), map_]
    if head in ("projection", "teacher"):
        embedding = features if encoder.head is None else frozen_copy(encoder.head)(features)
        return keras.layers.UnitNormalization(name="unit_length", dtype="float32")(embedding)
    if head == "linear" and probe is not None:
        classifier = keras.layers.Dense(probe[0].shape[1], name="linear", dtype="float32")
        classifier.build(features.shape)
        classifier.set_weights(list(probe))
        return classifier(features)
    return features


def _check(encoder: Encoder, image_size: ImageSize, head: str, probe: Probe | None) -> None:
    expected = encoder.backbone.input_shape[1:3]
    wanted = height_width(image_size)
    if not all(side in (None, given) for side, given in zip(expected, wanted)):
        raise ModelError(
            f"The encoder was built for images of {expected[0]}x{expected[1]} pixels and cannot "
            f"be converted for {describe_size(image_size)}: build it with that image_size."
        )
    if head not in OUTPUT_NAMES:
        raise ConfigError(f"head must be one of {', '.join(OUTPUT_NAMES)}, not {head!r}.")
    if head == "linear":
        width = encoder.backbone.output_shape[-1]
        if probe is None:
            raise CheckpointError(
                "The head 'linear' needs a classifier: run `s2bnn eval linear` first."
            )
        kernel, bias = probe
        if kernel.shape != (width, len(bias)):
            raise CheckpointError(
                f"The linear classifier takes {kernel.shape[0]} features but the backbone has "
                f"{width}: run `s2bnn eval linear` on this encoder again."
            )
