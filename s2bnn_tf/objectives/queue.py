"""The queue of keys that serve as negatives."""

from __future__ import annotations

import tensorflow as tf


class KeyQueue(tf.Module):
    """The newest `size` keys, in a ring buffer.

    The queue starts with random unit vectors and takes batches of any size; of a batch larger
    than the queue, it keeps the last `size` keys. A `tf.train.Checkpoint` saves it like any
    other variable.

    >>> queue = KeyQueue(size=3, dim=2)
    >>> queue.enqueue(tf.eye(2))
    >>> queue.keys[:2].numpy()
    array([[1., 0.],
           [0., 1.]], dtype=float32)

    Args:
        size: Number of keys K; 65,536 in the paper.
        dim: Dimension D of a key.
        seed: The seed of the random vectors that it starts with.

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
            keys: The new keys, `(B, D)`, unit length, oldest first; any floating-point type.
                Under distribution, every replica passes the keys of all replicas.

        Raises:
            ValueError: If they have another shape, or are no floating-point numbers. If the shape
                is not known before a graph runs, running it raises
                `tf.errors.InvalidArgumentError`.
        """
        keys = tf.convert_to_tensor(keys)
        expected = tf.TensorShape([None, self.keys.shape[1]])
        if not keys.dtype.is_floating or not keys.shape.is_compatible_with(expected):
            raise ValueError(
                f"The queue takes floating-point keys of the shape (B, {expected[1]}), not "
                f"{keys.dtype.name} of {keys.shape}."
            )
        # The operations below write to memory without a look at types or at the width.
        keys = tf.ensure_shape(tf.cast(keys, self.keys.dtype), expected)
        keys = keys[-self.size :]
        # Counted in int32, which a GPU's kernels keep on the host: nothing waits for the GPU.
        count = tf.shape(keys)[0]
        rows = (self.position + tf.cast(tf.range(count), tf.int64)) % self.size
        # Assigned through the handles: each replica changes its own copy, all in the same way.
        tf.raw_ops.ResourceScatterUpdate(resource=self.keys.handle, indices=rows, updates=keys)
        position = (self.position + tf.cast(count, tf.int64)) % self.size
        tf.raw_ops.AssignVariableOp(resource=self.position.handle, value=position)
