"""Statistics of normalizations that were made of a file, which holds none."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.runs.neighbors import norm_behind, sole_reader

keras = tf.keras

Values = NDArray[np.float64]  # (values, channels)


def settle_statistics(backbone: keras.Model, views: tf.Tensor) -> None:
    """Let each BatchNormalization know its input's statistics; the features stay the same.

    In training it normalizes by those of the batch. With a scale and a shift that belong to other
    ones, the first step would see another network.

    Args:
        backbone: A functional network.
        views: Normalized pictures, `(B, H, W, C)`.
    """
    norms = [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
    bare = [norm for norm in norms if not norm.scale]
    for norm, values in zip(bare, _inputs(backbone, bare, views)):
        _settle_bare(norm, values)
    others = [norm for norm in norms if norm.scale]
    for norm, values in zip(others, _inputs(backbone, others, views)):
        gamma, beta, mean, variance = (np.asarray(value) for value in norm.get_weights())
        scale = gamma / np.sqrt(variance + norm.epsilon)
        shift = beta - scale * mean
        mean, variance = values.mean(axis=0), values.var(axis=0)
        gamma = scale * np.sqrt(variance + norm.epsilon)
        norm.set_weights([gamma, shift + scale * mean, mean, variance])


def can_settle(norm: keras.layers.BatchNormalization) -> bool:
    """Whether a normalization can have other statistics without other features."""
    if norm.scale and norm.center:
        return True
    return not (norm.scale or norm.center) and _linear_behind(norm) is not None


def _settle_bare(norm: keras.layers.BatchNormalization, values: Values) -> None:
    """Settle a normalization without scale and shift of its own.

    The 1x1 convolution behind it takes the scale, and the normalization behind that the shift.
    """
    behind = _linear_behind(norm)
    if behind is None:
        raise ValueError(f"{norm.name} cannot have other statistics")
    conv, next_norm = behind
    mean, variance = (np.asarray(value) for value in norm.get_weights())
    norm.set_weights([values.mean(axis=0), values.var(axis=0)])
    deviation = np.sqrt(variance + norm.epsilon)
    scale = np.sqrt(values.var(axis=0) + norm.epsilon) / deviation
    shift = (values.mean(axis=0) - mean) / deviation
    kernel = np.asarray(conv.get_weights()[0])
    conv.set_weights([kernel * scale[:, np.newaxis]])
    next_norm.moving_mean.assign_sub(shift @ kernel[0, 0])


def _linear_behind(
    norm: keras.layers.BatchNormalization,
) -> tuple[keras.layers.Conv2D, keras.layers.BatchNormalization] | None:
    """The 1x1 convolution that alone reads a normalization, and the normalization behind it."""
    conv = sole_reader(norm)
    if conv is None or type(conv) is not keras.layers.Conv2D:
        return None
    if conv.kernel_size != (1, 1) or conv.use_bias:
        return None
    next_norm = norm_behind(conv)
    return None if next_norm is None or not next_norm.scale else (conv, next_norm)


def _inputs(
    backbone: keras.Model, norms: list[keras.layers.BatchNormalization], views: tf.Tensor
) -> list[Values]:
    """What the normalizations read, each `(values, channels)`, in double precision."""
    if not norms:
        return []
    outputs = keras.Model(backbone.input, [norm.input for norm in norms])(views, training=False)
    channels = [norm.moving_mean.shape[0] for norm in norms]
    return [
        np.asarray(values, np.float64).reshape(-1, count)
        for values, count in zip(tf.nest.flatten(outputs), channels)
    ]
