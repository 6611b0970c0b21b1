"""A network of onnxruntime inside a Keras model."""

from __future__ import annotations

import threading

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data import channel_statistics
from s2bnn_tf.errors import UserError
from s2bnn_tf.image_size import height_width
from s2bnn_tf.teachers.failures import note_failure
from s2bnn_tf.teachers.onnx_networks import OnnxNetwork

keras = tf.keras


def as_keras(network: OnnxNetwork) -> keras.Model:
    """A Keras model around a network.

    Returns:
        A model from images `(B, H, W, C)`, normalized as `s2bnn_tf.data.normalize` does, to
        features `(B, D)`. It computes on the processor and has no gradient.
    """
    shape = (*height_width(network.image_size), network.channels)
    image = keras.Input(shape, name="image")
    return keras.Model(image, OnnxLayer(network)(image), name="onnx")


class OnnxLayer(keras.layers.Layer):
    """Give normalized images to a network of onnxruntime.

    Args:
        network: The network.

    Attributes:
        outside_bytes: The memory that the network takes, which is not TensorFlow's.
    """

    def __init__(self, network: OnnxNetwork):
        super().__init__(trainable=False, dtype="float32", name="onnxruntime")
        self.network = network
        self.outside_bytes = network.memory
        self._lock = threading.Lock()

    def call(self, images: tf.Tensor) -> tf.Tensor:
        ours, theirs = channel_statistics(self.network.channels), self.network.statistics
        mean, std = (tf.constant(values, tf.float32) for values in ours)
        pixels = images * std + mean  # 0..1
        if theirs.reverse:
            pixels = pixels[..., ::-1]
        normalized = (pixels - tf.constant(theirs.mean)) / tf.constant(theirs.std)
        features = tf.numpy_function(self._compute, [normalized], tf.float32)
        return tf.ensure_shape(features, (None, self.network.feature_dim))

    def _compute(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            with self._lock:  # its threads are as many as there are processors already
                return self.network(images)
        except UserError as error:
            note_failure(error)
            raise
