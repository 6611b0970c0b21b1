"""The batch normalization of networks that come from PyTorch."""

from __future__ import annotations

import tensorflow as tf

keras = tf.keras


def batch_norm(name: str) -> keras.layers.BatchNormalization:
    """Make a BatchNorm with PyTorch's momentum (0.1 there) and epsilon."""
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)
