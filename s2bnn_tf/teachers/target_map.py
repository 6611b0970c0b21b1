"""A fixed affine map of a teacher's output: centered, reduced to its main directions, normalized.

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
from s2bnn_tf.blas import one_thread
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.vectors import unit_length

keras = tf.keras

_CONSTANT = 1e-12  # variance; a dimension below it holds rounding errors only


class TargetMap(NamedTuple):
    """From outputs f `(R, C)` to targets: `(f - mean) components`, then unit length.

    Attributes:
        mean: float32 `(C,)`.
        components: float32 `(C, D)`; its columns are orthogonal, and orthonormal unless they
            normalize.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]

    def apply(self, outputs: NDArray[Any]) -> NDArray[np.float32]:
        """Map outputs `(R, C)` to targets `(R, D)` of unit length."""
        return unit_length((outputs - self.mean) @ self.components)


def fit_target_map(
    outputs: NDArray[Any], dimensions: int | None = None, normalize: str = "none"
) -> TargetMap:
    """Find the map for what a teacher has computed of many images.

    Args:
        outputs: `(R, C)`, at least two rows.
        dimensions: The number D of principal components that are kept. None, or as many as there
            are, keeps all dimensions as they are and only centers.
        normalize: `standardize` divides each of the D dimensions by its standard deviation.
            `phi_s` rotates them by their principal axes and a Hadamard matrix, after which all
            have the same variance, and one scale makes it 1: then a loss per dimension weighs
            them alike and distances stay what they were. A dimension that is constant stays 0.

    Returns:
        The map. The sign of each component is such that its largest entry is positive, so that
        the same outputs give the same map everywhere.

    Raises:
        ConfigError: If `phi_s` is asked for and D is no power of two, which its matrix needs.

    References:
        PHI-S, https://arxiv.org/abs/2410.01680, sections 3.2 and 3.5.
    """
    found = _centered(outputs, dimensions)
    if normalize == "none":
        return found
    centered = (outputs - found.mean) @ found.components
    covariance = centered.T.astype(np.float64) @ centered / len(centered)
    if normalize == "standardize":
        deviations = np.sqrt(np.maximum(np.diag(covariance), _CONSTANT))
        scaled = found.components / deviations
    else:
        with one_thread():
            values, axes = np.linalg.eigh(covariance)
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
        rotation = axes * np.sign(largest) @ _hadamard(len(values))
        scaled = found.components @ rotation / np.sqrt(max(float(values.mean()), _CONSTANT))
    return TargetMap(found.mean, scaled.astype(np.float32))


def _hadamard(size: int) -> NDArray[np.float64]:
    """Sylvester's Hadamard matrix, scaled to be orthonormal: all entries are as large."""
    if size & (size - 1):
        raise ConfigError(
            f"teacher.normalize: phi_s needs a number of dimensions that is a power of two, not "
            f"{size}; set teacher.reduce_to={2 ** (size.bit_length() - 1)}."
        )
    matrix: NDArray[np.float64] = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    orthonormal: NDArray[np.float64] = matrix / np.sqrt(size)
    return orthonormal


def _centered(outputs: NDArray[Any], dimensions: int | None) -> TargetMap:
    """The map that centers, and reduces if it is asked to."""
    mean = outputs.mean(axis=0, dtype=np.float64)
    width = outputs.shape[1]
    if dimensions is None or dimensions >= width:
        return TargetMap(mean.astype(np.float32), np.eye(width, dtype=np.float32))
    covariance = np.zeros((width, width))
    for first in range(0, len(outputs), 4096):  # without a copy of everything in float64
        part = outputs[first : first + 4096] - mean
        covariance += part.T @ part
    with one_thread():
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
