"""The momentum encoder's update."""

from __future__ import annotations

import tensorflow as tf


def update_momentum(
    student: tf.keras.Model,
    momentum_encoder: tf.keras.Model,
    momentum: float,
    *,
    statistics: bool = False,
) -> None:
    """Move the momentum encoder a little towards the student.

    `m = momentum * m + (1 - momentum) * s` for every trainable parameter.
    BatchNormalization's statistics are not averaged unless `statistics` is set: the
    momentum encoder gathers its own, being run in training mode.

    Args:
        student: The network that is trained.
        momentum_encoder: Another of the same architecture.
        momentum: In [0, 1]; 0.999 in the paper.
        statistics: Average BatchNormalization's statistics too, for a momentum
            encoder that is run in inference mode.

    References:
        MoCo, https://arxiv.org/abs/1911.05722, equation 2.
        EMAN (averaged statistics), https://arxiv.org/abs/2101.08482, equation 4.
    """
    ours_all, theirs_all = student.trainable_variables, momentum_encoder.trainable_variables
    if statistics:
        ours_all = ours_all + student.non_trainable_variables
        theirs_all = theirs_all + momentum_encoder.non_trainable_variables
    for ours, theirs in zip(ours_all, theirs_all, strict=True):
        # By its handle: each replica moves its own copy, all by the same amount, where
        # `assign_add` would ask for a sum over the replicas.
        tf.raw_ops.AssignAddVariableOp(
            resource=theirs.handle, value=(1.0 - momentum) * (ours - theirs)
        )
