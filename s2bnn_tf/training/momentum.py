"""The momentum encoder: how it follows the student, and how its keys give nothing away."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from s2bnn_tf.training.distribution import gather


def update_momentum(
    student: tf.keras.Model,
    momentum_encoder: tf.keras.Model,
    momentum: float,
    *,
    statistics: bool = False,
) -> None:
    """Move the momentum encoder a little toward the student.

    `m = momentum * m + (1 - momentum) * s` for every trainable parameter.
    BatchNormalization's statistics are averaged only if `statistics` is set; otherwise the
    momentum encoder gathers its own, because it runs in training mode.

    Args:
        student: The network that is trained.
        momentum_encoder: A second network of the same architecture.
        momentum: The momentum, in [0, 1]; 0.999 in the paper.
        statistics: Whether to average BatchNormalization's statistics too, for a momentum
            encoder that runs in inference mode.

    References:
        MoCo, https://arxiv.org/abs/1911.05722, equation 2.
        EMAN (averaged statistics), https://arxiv.org/abs/2101.08482, equation 4.
    """
    ours_all, theirs_all = student.trainable_variables, momentum_encoder.trainable_variables
    if statistics:
        ours_all = ours_all + student.non_trainable_variables
        theirs_all = theirs_all + momentum_encoder.non_trainable_variables
    for ours, theirs in zip(ours_all, theirs_all, strict=True):
        # Each replica moves its own copy through its handle, all of them by the same amount;
        # `assign_add` would ask for a sum over the replicas.
        tf.raw_ops.AssignAddVariableOp(
            resource=theirs.handle, value=(1.0 - momentum) * (ours - theirs)
        )


def shuffled_keys(
    encode: Callable[[tf.Tensor], tf.Tensor], key_view: tf.Tensor, seed: int, step: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Encode each key in a batch of other images than the batch of its query.

    The images of all replicas change places before they are encoded, so that the statistics
    of a replica's batch do not give a key away. It must be called in a replica context.

    Args:
        encode: A function from images `(B, H, W, 3)` to embeddings `(B, D)`.
        key_view: The views of this replica, `(B, H, W, 3)`.
        seed: The seed that, with the step, decides the order; any integer.
        step: The number of the step, a scalar.

    Returns:
        The keys of this replica's images, `(B, D)`, and those of all R replicas, `(R * B, D)`.

    References:
        MoCo, https://arxiv.org/abs/1911.05722, section 3.3 (shuffling BN).
    """
    replica = tf.distribute.get_replica_context()
    batch = tf.shape(key_view)[0]
    images = replica.num_replicas_in_sync * batch
    mine = replica.replica_id_in_sync_group * batch + tf.range(batch)
    order = tf.random.experimental.stateless_shuffle(
        tf.range(images), [seed, tf.cast(step, tf.int32)]
    )
    shuffled = tf.gather(gather(key_view), tf.gather(order, mine))
    encoded = gather(encode(tf.ensure_shape(shuffled, key_view.shape)))
    all_keys = tf.gather(encoded, tf.argsort(order))
    return tf.gather(all_keys, mine), all_keys
