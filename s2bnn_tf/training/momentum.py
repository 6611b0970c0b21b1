"""The momentum encoder's update."""

from __future__ import annotations

import tensorflow as tf


def update_momentum(
    student: tf.keras.Model, momentum_encoder: tf.keras.Model, momentum: float
) -> None:
    """Move the momentum encoder a little towards the student.

    `m = momentum * m + (1 - momentum) * s` for every trainable parameter.
    BatchNormalization's statistics are not averaged: the momentum encoder gathers
    its own, being run in training mode.

    Args:
        student: The network that is trained.
        momentum_encoder: Another of the same architecture.
        momentum: In [0, 1]; 0.999 in the paper.

    References:
        MoCo, https://arxiv.org/abs/1911.05722, equation 2.
    """
    pairs = zip(student.trainable_variables, momentum_encoder.trainable_variables, strict=True)
    for ours, theirs in pairs:
        theirs.assign_add((1.0 - momentum) * (ours - theirs))
