"""A student that begins as a converted file: latent weights made of its signs and scales."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.tflite import Operation, TFLiteGraph, read_graph, unpack_signs

keras = tf.keras

# The size of the latent weights, which the file does not hold: their mean after training.
_LATENT = 0.045
_STEM_CHANNELS = 32  # at width 1
_STEMS = {8: "small", 16: "medium", 32: "imagenet"}  # by the pixels to one place of the last map


class _Binary(NamedTuple):
    """What the file holds of one binary convolution and the activation behind it."""

    threshold: NDArray[np.float32]  # (I,), added before the sign
    signs: NDArray[np.float32]  # (h, w, I, O)
    multiplier: NDArray[np.float32]  # (O,)
    bias: NDArray[np.float32]  # (O,)
    shift_in: NDArray[np.float32]  # (O,)
    slope: NDArray[np.float32]  # (O,)


def copy_tflite(path: str | Path, backbone: keras.Model) -> None:
    """Give a ReActNet the features of a file that was converted from one.

    A file holds the sign of each binary weight and what was folded together: a scale and a shift
    per output channel, a threshold per input channel, a slope. The latent weights become the signs
    times a constant, and the statistics of the BatchNormalizations 0 and 1, with which the features
    are those of the file. `settle_statistics` makes them fit to train from.

    Args:
        path: The `.tflite`, by `s2bnn convert` from a `reactnet` of 1-bit weights, of any head.
        backbone: A `reactnet`, whose weights are replaced; its latent weights may be real.

    Raises:
        ModelError: If the file cannot be read, or holds another kind of network.
        ConfigError: If its width or its stem is another one.
    """
    graph = read_graph(path)
    if backbone.name != "reactnet":
        raise ConfigError(
            f"student.init_from: {path} is a file, and only a reactnet can begin as one; name the "
            "run directory that it was converted from."
        )
    reader = _Reader(graph, path)
    stem, found, last = reader.read()
    _check_same_network(path, stem[0], reader.stride, graph, backbone)
    _set_stem(backbone, *stem)
    for index, binary in enumerate(found):
        _set_binary(backbone, index, binary)
    backbone.get_layer(f"block{len(found) // 2}_rprelu2").shift_out.assign(last)


def settle_statistics(backbone: keras.Model, views: tf.Tensor) -> None:
    """Let each BatchNormalization know its input's statistics; what it computes stays the same.

    In training it normalizes by those of the batch. With a scale and a shift that belong to other
    ones, the first step would see another network.

    Args:
        backbone: A functional network.
        views: Normalized pictures, `(B, H, W, C)`.
    """
    norms = [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
    inputs = keras.Model(backbone.input, [norm.input for norm in norms])(views, training=False)
    for norm, values in zip(norms, inputs):
        gamma, beta, mean, variance = (np.asarray(value) for value in norm.get_weights())
        scale = gamma / np.sqrt(variance + norm.epsilon)
        shift = beta - scale * mean
        values = np.asarray(values, np.float64).reshape(-1, len(gamma))
        mean, variance = values.mean(axis=0), values.var(axis=0)
        gamma = scale * np.sqrt(variance + norm.epsilon)
        norm.set_weights([gamma, shift + scale * mean, mean, variance])


class _Reader:
    """Reads a file as what a ReActNet becomes.

    Attributes:
        stride: The pixels of the picture to one place of the last map.
    """

    def __init__(self, graph: TFLiteGraph, path: str | Path):
        self.graph, self.path, self.stride = graph, path, 0
        self.makers = {index: item for item in graph.operations for index in item.outputs}

    def read(self) -> tuple[list[NDArray[np.float32]], list[_Binary], NDArray[np.float32]]:
        """The stem's kernel and bias, the 26 binary convolutions, and the last shift."""
        kinds = ("CONV_2D", "LceBconv2d")
        convolutions = [x for x in self.graph.operations if x.name in kinds]
        if [x.name for x in convolutions] != [kinds[0], *[kinds[1]] * 26]:
            raise self._another()
        first, *binary = convolutions
        stem = [self._constant(first, place) for place in (1, 2)]
        found = [self._binary(operation) for operation in binary]
        _, activation = self._activation(binary[-1])
        height = self.graph.tensors[self.graph.inputs[0]].shape[1]
        self.stride = round(height / self.graph.tensors[activation.outputs[0]].shape[1])
        last = next(self._constants_added(activation.outputs[0]), None)
        return stem, found, np.zeros(len(found[-1].bias), np.float32) if last is None else last

    def _binary(self, operation: Operation) -> _Binary:
        bits = self._constant(operation, 1, np.int32)
        quantize = self.makers.get(operation.inputs[0])
        if quantize is None or quantize.name != "LceQuantize":
            raise self._another()
        before = self.makers.get(quantize.inputs[0])
        channels = int(operation.options["channels_in"])
        threshold = np.zeros(channels, np.float32)
        if before is not None and before.name == "ADD":
            given = self._added(before)
            threshold = threshold if given is None else given
        shift, activation = self._activation(operation)
        return _Binary(
            threshold,
            np.transpose(unpack_signs(bits, channels), (1, 2, 3, 0)),
            self._constant(operation, 2),
            self._constant(operation, 3),
            shift,
            self._constant(activation, 1).reshape(-1),
        )

    def _activation(self, operation: Operation) -> tuple[NDArray[np.float32], Operation]:
        """What is added between a convolution and its PRELU, without the shortcut, and that."""
        shift = np.zeros(self.graph.tensors[operation.outputs[0]].shape[-1:], np.float32)
        for _ in range(3):
            (operation,) = self._readers(operation.outputs[0]) or (operation,)
            if operation.name == "PRELU":
                return shift, operation
            if operation.name != "ADD":
                break
            given = self._added(operation)
            shift = shift if given is None else shift + given
        raise self._another()

    def _constants_added(self, tensor: int) -> Iterator[NDArray[np.float32]]:
        for operation in self._readers(tensor):
            given = self._added(operation) if operation.name == "ADD" else None
            if given is not None:
                yield given

    def _added(self, operation: Operation) -> NDArray[np.float32] | None:
        """The constant that an ADD adds; None if it adds two maps."""
        constants = [self.graph.tensors[index].constant for index in operation.inputs]
        found = [np.asarray(c, np.float32).reshape(-1) for c in constants if c is not None]
        return found[0] if found else None

    def _constant(
        self, operation: Operation, place: int, dtype: type[np.generic] = np.float32
    ) -> NDArray[Any]:
        index = operation.inputs[place] if len(operation.inputs) > place else -1
        constant = self.graph.tensors[index].constant if index >= 0 else None
        if constant is None or constant.dtype != dtype:
            raise self._another()
        return constant

    def _readers(self, tensor: int) -> list[Operation]:
        return [item for item in self.graph.operations if tensor in item.inputs]

    def _another(self) -> ModelError:
        return ModelError(
            f"student.init_from: {self.path} is not what `s2bnn convert` makes of a reactnet with "
            "1-bit weights; name such a file, or a run directory."
        )


def _check_same_network(
    path: str | Path,
    kernel: NDArray[np.float32],
    stride: int,
    graph: TFLiteGraph,
    backbone: keras.Model,
) -> None:
    """Refuse a file whose network has another width, another stem or other channels."""
    reversed_ = any(operation.name == "REVERSE_V2" for operation in graph.operations)
    found = {
        "student.width": kernel.shape[0] / _STEM_CHANNELS,
        "student.stem": _STEMS.get(stride),
        "student.reverse_input": reversed_,
        "data.channels": kernel.shape[3],
    }
    ours = backbone.get_layer("stem_conv").kernel.shape
    last = backbone.get_layer("pool").input_shape[1]
    wanted = {
        "student.width": ours[3] / _STEM_CHANNELS,
        "student.stem": _STEMS.get(round(backbone.input_shape[1] / last)),
        "student.reverse_input": any(layer.name == "reverse" for layer in backbone.layers),
        "data.channels": ours[2],
    }
    for key, theirs in found.items():
        if theirs != wanted[key]:
            raise ConfigError(
                f"student.init_from: {path} has {key} {theirs}, this recipe has {wanted[key]}; "
                f"make them the same: --set {key}={json.dumps(theirs)}."
            )


def _set_stem(
    backbone: keras.Model, kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> None:
    backbone.get_layer("stem_conv").kernel.assign(np.transpose(kernel, (1, 2, 3, 0)))
    _set_norm(backbone.get_layer("stem_bn"), np.ones_like(bias), bias)


def _set_binary(backbone: keras.Model, index: int, found: _Binary) -> None:
    block, second = index // 2 + 1, index % 2
    layer = backbone.get_layer(f"block{block}_conv{('3x3', '1x1')[second]}")
    layer.kernel.assign(_LATENT * found.signs)
    layer.input_quantizer.bias.assign(found.threshold)
    norm = backbone.get_layer(f"block{block}_bn{second + 1}")
    _set_norm(norm, found.multiplier / _LATENT, found.bias)
    activation = backbone.get_layer(f"block{block}_rprelu{second + 1}")
    activation.shift_in.assign(found.shift_in)
    activation.slope.assign(found.slope.reshape(activation.slope.shape))
    activation.shift_out.assign(tf.zeros_like(activation.shift_out))


def _set_norm(
    norm: keras.layers.BatchNormalization,
    scale: NDArray[np.float32],
    shift: NDArray[np.float32],
) -> None:
    """Let a BatchNormalization with the statistics 0 and 1 compute `scale * x + shift`."""
    gamma = scale * np.sqrt(1 + norm.epsilon)
    norm.set_weights([gamma, shift, np.zeros_like(shift), np.ones_like(shift)])
