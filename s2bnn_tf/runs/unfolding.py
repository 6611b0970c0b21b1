"""The weights of a network, while they are found in the operations that it became."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from s2bnn_tf.runs.file_operations import Array, FileOperations, MismatchError
from s2bnn_tf.runs.neighbors import norm_behind, sources

keras = tf.keras


class Affine(NamedTuple):
    """`scale * x + shift`, each one number, `(1,)`, or one per channel."""

    scale: Array
    shift: Array


class Unfolding:
    """What is known of a network from the layers that were compared with a file.

    Nothing of the network changes before `assign`.

    Args:
        operations: The file.
        restrided: The layers whose strides need not be those of the file.

    Attributes:
        operations: The file.
        restrided: Likewise.
        tensors: The file's tensor that each layer's output is, by the layer's name.
    """

    def __init__(self, operations: FileOperations, restrided: Collection[str] = ()):
        self.operations = operations
        self.restrided = restrided
        self.tensors: dict[str, int] = {}
        self._values: list[tuple[tf.Variable, Array]] = []
        self._norms: dict[keras.layers.BatchNormalization, Affine] = {}

    def set(self, variable: tf.Variable, value: Array) -> None:
        """Remember the value that a variable will get; a single number applies to every channel.

        Raises:
            MismatchError: If it has another shape.
        """
        if value.size == 1:
            value = np.broadcast_to(value.reshape(-1), variable.shape)
        if value.shape != tuple(variable.shape):
            raise MismatchError(f"{variable.name} has another shape")
        self._values.append((variable, value))

    def set_norm(self, norm: keras.layers.BatchNormalization, affine: Affine) -> None:
        """Remember what a normalization will compute."""
        self._norms[norm] = affine

    def hand_on(self, layer: keras.layers.Layer, affine: Affine) -> None:
        """Let the normalization behind a convolution first do what the file does to its sums.

        Raises:
            MismatchError: If no normalization follows the convolution.
        """
        norm = norm_behind(layer)
        if norm not in self._norms:
            raise MismatchError(f"no normalization follows {layer.name}")
        scale, shift = self._norms[norm]
        self._norms[norm] = Affine(scale * affine.scale, scale * affine.shift + shift)

    def shift_before(self, layer: keras.layers.Layer, tensor: int) -> tuple[Array, int]:
        """What a layer adds to its input, and the file's tensor that the input is.

        The input is known where other layers read it too. Several constants, one of which belongs
        to the layer before, may have been added up.

        Raises:
            MismatchError: If anything but a constant is added to the input.
        """
        (source,) = sources(layer)
        known = self.tensors.get(source.name)
        if known is None:
            shift, before = self.operations.without_constant(tensor, "ADD")
            return np.zeros(1, np.float32) if shift is None else shift, before
        (total, base), (first, same) = map(self.operations.without_shifts, (tensor, known))
        if base != same:
            raise MismatchError(f"{layer.name} reads another map")
        return total - first, known

    def assign(self) -> None:
        """Give the network the weights that were found.

        Raises:
            MismatchError: If a normalization cannot compute what the file does.
        """
        for norm, affine in self._norms.items():
            self._set_statistics(norm, affine)
        for variable, value in self._values:
            variable.assign(value)

    def _set_statistics(self, norm: keras.layers.BatchNormalization, affine: Affine) -> None:
        """Let a normalization compute `scale * x + shift` with the statistics 0 and 1.

        Where it has no scale and no shift of its own, they have to be its statistics.
        """
        zeros = np.zeros(norm.moving_mean.shape, np.float32)
        scale, shift = affine
        mean, variance = zeros, zeros + 1
        if norm.scale:
            self.set(norm.gamma, scale * np.sqrt(1 + norm.epsilon))
        elif np.all((scale > 0) & (scale**2 * norm.epsilon < 1)):
            variance = 1 / scale**2 - norm.epsilon
        else:
            raise MismatchError(f"{norm.name} has no scale of its own")
        if norm.center:
            self.set(norm.beta, shift)
        else:
            mean = -shift / scale
        self.set(norm.moving_mean, mean)
        self.set(norm.moving_variance, variance)
