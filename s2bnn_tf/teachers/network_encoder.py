"""A network in a file as an encoder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data import normalize
from s2bnn_tf.image_size import ImageSize, image_size
from s2bnn_tf.teachers.failures import teacher_failures
from s2bnn_tf.vectors import unit_length

keras = tf.keras


class NetworkEncoder:
    """A network in a `.keras` or `.onnx` file; it has the attributes of a `LoadedEncoder`.

    Attributes:
        name: The name of the file.
        path: The file.
        image_size: The side of the input in pixels, or its height and width.
        channels: The channels of the input: 3 for RGB, 1 for gray.
        center_crop: The fraction of the shorter side that evaluation keeps; None if the whole
            picture is squashed to the size.
        feature_dim: The number of features F.
        data_source: Always None, since the file does not say.
        size_bytes: The size of the file, with that of weights beside it.
        head: Always None: the embeddings are the features, of unit length.
        labels: Always None.
        runtime: Always None.
        preparation: How pixels become the input, and which output is meant.

    Args:
        network: A model from normalized images to features `(B, F)`.
        path: Its file.
        size_bytes: As above.
        preparation: As above.
        center_crop: As above.
    """

    def __init__(
        self,
        network: keras.Model,
        path: Path,
        size_bytes: int,
        preparation: str,
        center_crop: float | None,
    ):
        self.path = path
        self.name = path.name
        *sides, channels = network.input_shape[1:]
        self.image_size: ImageSize = image_size(sides)
        self.channels: int = channels
        self.center_crop = center_crop
        self.feature_dim = int(network.output_shape[-1])
        self.data_source: str | None = None
        self.size_bytes = size_bytes
        self.head: str | None = None
        self.labels: list[str] | None = None
        self.runtime: str | None = None
        self.preparation = preparation
        self._features = tf.function(
            lambda images: network(normalize(images), training=False),
            input_signature=[tf.TensorSpec((None, *sides, channels), tf.float32)],
        )

    def features(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Compute features `(B, F)` from images 0-255 `(B, H, W, C)`."""
        with teacher_failures():
            features: NDArray[np.float32] = self._features(tf.cast(images, tf.float32)).numpy()
        return features

    def embed(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Compute features of unit length `(B, F)` from images 0-255 `(B, H, W, C)`."""
        return self.project(self.features(images))

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale features `(B, F)` to unit length; zeros remain zeros."""
        return unit_length(features)
