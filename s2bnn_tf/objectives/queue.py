"""The queue of keys that serve as negatives."""

from __future__ import annotations

import tensorflow as tf


class KeyQueue(tf.Module):
    """The newest `size` keys, in a ring.

    It starts as random unit vectors, wraps without losing keys and takes batches
    of any size; of a batch larger than the queue the last `size` keys stay. It is
    part of a `tf.train.Checkpoint` like any other variable.

    >>> queue = KeyQueue(size=3, dim=2)
    >>> queue.enqueue(tf.eye(2))
    >>> queue.keys[:2].numpy()
    array([[1., 0.],
           [0., 1.]], dtype=float32)

    Args:
        size: Number of keys K, 65,536 in the paper.
        dim: Dimension D of a key.
        seed: Seed of the random vectors it starts with.

    References:
        MoCo, https://arxiv.org/abs/1911.05722, section 3.2.
    """

    def __init__(self, size: int, dim: int, seed: int = 0):
        super().__init__(name="key_queue")
        start = tf.random.stateless_normal(
            [size, dim], seed=[seed, size], dtype=tf.keras.backend.floatx()
        )
        self.keys = tf.Variable(tf.math.l2_normalize(start, axis=-1), trainable=False, name="keys")
        self.position = tf.Variable(0, trainable=False, dtype=tf.int64, name="position")

    @property
    def size(self) -> int:
        """Number of keys."""
        return int(self.keys.shape[0])

    def enqueue(self, keys: tf.Tensor) -> None:
        """Replace the oldest keys.

        Args:
            keys: `(B, D)`, unit length, oldest first; those of all replicas, on each.
        """
        keys = keys[-self.size :]
        count = tf.shape(keys, out_type=tf.int64)[0]
        rows = (self.position + tf.range(count)) % self.size
        # By their handles: on several replicas each changes its own copy, all alike.
        tf.raw_ops.ResourceScatterUpdate(resource=self.keys.handle, indices=rows, updates=keys)
        position = (self.position + count) % self.size
        tf.raw_ops.AssignVariableOp(resource=self.position.handle, value=position)
