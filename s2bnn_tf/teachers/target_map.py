"""A fixed affine map of a teacher's output: centered, and reduced to its main directions.

The features of a network that ends in a rectifier have a large mean, which every image shares. A
quarter of the energy of an ImageNet network's features is in it, and a student that matches
directions spends as much of its effort on what tells nothing apart.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.vectors import unit_length

keras = tf.keras


class TargetMap(NamedTuple):
    """From outputs f `(R, C)` to targets: `(f - mean) components`, then unit length.

    Attributes:
        mean: float32 `(C,)`.
        components: float32 `(C, D)` with orthonormal columns.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]

    def apply(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """Map outputs `(R, C)` to targets `(R, D)` of unit length."""
        return unit_length((outputs - self.mean) @ self.components)


def fit_target_map(outputs: NDArray[Any], dimensions: int | None = None) -> TargetMap:
    """Find the map for what a teacher has computed of many images.

    Args:
        outputs: `(R, C)`, at least two rows.
        dimensions: The number D of principal components that are kept. None, or as many as there
            are, keeps all dimensions as they are and only centers.

    Returns:
        The map. The sign of each component is such that its largest entry is positive, so that
        the same outputs give the same map everywhere.
    """
    mean = outputs.mean(axis=0, dtype=np.float64)
    width = outputs.shape[1]
    if dimensions is None or dimensions >= width:
        return TargetMap(mean.astype(np.float32), np.eye(width, dtype=np.float32))
    covariance = np.zeros((width, width))
    for first in range(0, len(outputs), 4096):  # without a copy of everything in float64
        part = outputs[first : first + 4096] - mean
        covariance += part.T @ part
    components = np.linalg.eigh(covariance)[1][:, ::-1][:, :dimensions]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=0)[None], axis=0)
    return TargetMap(mean.astype(np.float32), (components * np.sign(largest)).astype(np.float32))


def with_map(teacher: Encoder, target_map: TargetMap) -> Encoder:
    """Put a map behind a teacher; the result is not trainable.

    Args:
        teacher: An encoder whose head, if it has one, ends in the outputs that the map was found
            for, before they get unit length.
        target_map: The map.
    """
    outputs = teacher.backbone if teacher.head is None else teacher.head
    layer = keras.layers.Dense(
        target_map.components.shape[1], name="target_map", dtype="float32", trainable=False
    )
    values = keras.Input(outputs.output_shape[1:], name="outputs", dtype="float32")
    mapped = keras.Model(values, layer(values), name="map")
    layer.set_weights([target_map.components, -target_map.mean @ target_map.components])
    if teacher.head is not None:
        features = keras.Input(teacher.head.input_shape[1:], name="features")
        mapped = keras.Model(features, mapped(teacher.head(features)), name="head")
    encoder = Encoder(teacher.backbone, mapped)
    encoder.trainable = False
    return encoder
