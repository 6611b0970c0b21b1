"""Fold the shifts around RPReLU into their neighbors, so that a device need not add them.

With `y = prelu(x + shift_in) + shift_out`, every layer that reads y in a ReActNet either begins
by adding a constant of its own, or only adds things up:

- `sign(y + bias)` becomes `sign(z + (bias + shift_out))`,
- the shortcut `y + batch_norm(...)`, pooled or repeated on its way, carries `shift_out` to the
  next RPReLU, whose `shift_in` absorbs it,
- and `shift_in` itself becomes part of the BatchNormalization before it, which Larq Compute
  Engine makes part of the binary convolution.

Two of the seven passes over each float map disappear. The function stays the same up to float
rounding, because only the order in which constants are added changes.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.layers import RPReLU, RSign

keras = tf.keras


def fold_shifts(model: keras.Model) -> None:
    """Fold the shifts of every RPReLU of a functional model, in place, wherever it is exact.

    A shift that another kind of layer reads (a pooling at the end, for example) stays.
    """
    if _layer_used_twice(model) is not None:
        return  # such a layer could not absorb two different shifts
    pending: dict[str, NDArray[np.float32]] = {}  # still to be added to the output of a layer
    for layer in model.layers:  # in order of execution
        shift = _incoming_shift(layer, pending)
        if isinstance(layer, RPReLU):
            _absorb(layer, shift, model)
            if _blocking_reader(layer, model) is None:
                pending[layer.name] = layer.shift_out.numpy()
                layer.shift_out.assign(tf.zeros_like(layer.shift_out))
        elif (sign := _input_sign(layer)) is not None:
            sign.bias.assign_add(np.broadcast_to(shift, sign.bias.shape))
        elif np.any(shift):
            pending[layer.name] = shift


def unfolded_shifts(model: keras.Model) -> dict[str, str]:
    """List the shifts that `fold_shifts` left in a model.

    Returns:
        For the name of each shift that is not zero, the reason why it stayed.
    """
    twice = _layer_used_twice(model)
    unfolded = {}
    for layer in model.layers:
        if not isinstance(layer, RPReLU):
            continue
        if np.any(layer.shift_in):
            unfolded[f"{layer.name}/shift_in"] = "no BatchNormalization before it feeds it alone"
        if np.any(layer.shift_out) and twice is not None:
            unfolded[f"{layer.name}/shift_out"] = f"{twice.name} is used twice in the network"
        elif np.any(layer.shift_out):
            reader = _blocking_reader(layer, model)
            assert reader is not None, "a shift that nothing blocks was not folded"
            unfolded[f"{layer.name}/shift_out"] = f"{reader.name} reads it"
    return unfolded


def _layer_used_twice(model: keras.Model) -> keras.layers.Layer | None:
    return next((layer for layer in model.layers if len(layer.inbound_nodes) > 1), None)


def _incoming_shift(
    layer: keras.layers.Layer, pending: dict[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The shift that must still be added to the input of a layer: a scalar, or one per channel."""
    zero = np.float32(0)
    if not any(source.name in pending for source in _sources(layer)):
        return np.asarray(zero)
    shifts = [
        np.broadcast_to(pending.get(source.name, zero), source.output.shape[-1:])
        for source in _sources(layer)
    ]
    if isinstance(layer, keras.layers.Concatenate):
        return np.concatenate(shifts)
    return np.asarray(np.sum(shifts, axis=0))


def _absorb(layer: RPReLU, shift: NDArray[np.float32], model: keras.Model) -> None:
    """Add a shift before an RPReLU: to the BatchNormalization before it if there is one."""
    total = np.broadcast_to(shift + layer.shift_in.numpy(), layer.shift_in.shape)
    norm = _batch_norm_before(layer, model)
    if norm is None:
        layer.shift_in.assign(total)
    else:
        norm.beta.assign_add(total)
        layer.shift_in.assign(tf.zeros_like(layer.shift_in))


def _batch_norm_before(
    layer: keras.layers.Layer, model: keras.Model
) -> keras.layers.BatchNormalization | None:
    """The BatchNormalization that feeds this layer and nothing else, directly or through an Add."""
    (before,) = _sources(layer)
    if isinstance(before, keras.layers.Add) and _readers(before, model) == [layer]:
        candidates = [source for source in _sources(before) if _readers(source, model) == [before]]
    else:
        candidates = [before] if _readers(before, model) == [layer] else []
    for candidate in candidates:
        if isinstance(candidate, keras.layers.BatchNormalization) and candidate.center:
            return candidate
    return None


def _blocking_reader(layer: keras.layers.Layer, model: keras.Model) -> keras.layers.Layer | None:
    """The first layer behind this one that can neither absorb a constant nor pass it on."""
    for reader in _readers(layer, model):
        if isinstance(reader, RPReLU) or _input_sign(reader) is not None:
            continue
        blocker = _blocking_reader(reader, model) if _passes_shift(reader) else reader
        if blocker is not None:
            return blocker
    return None


def _passes_shift(layer: keras.layers.Layer) -> bool:
    """Whether a constant per channel leaves a layer as it entered it."""
    if isinstance(layer, keras.layers.Concatenate):
        return layer.axis in (-1, len(layer.output.shape) - 1)
    # Average pooling leaves padding out of its mean.
    return isinstance(layer, (keras.layers.Add, keras.layers.AveragePooling2D))


def _input_sign(layer: keras.layers.Layer) -> RSign | None:
    """The RSign through which a layer reads its input, if there is one."""
    if isinstance(layer, RSign):
        return layer
    quantizer = getattr(layer, "input_quantizer", None)
    return quantizer if isinstance(quantizer, RSign) else None


def _sources(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers whose outputs a layer reads, in order."""
    return [
        source for node in layer.inbound_nodes for source in tf.nest.flatten(node.inbound_layers)
    ]


def _readers(layer: keras.layers.Layer, model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that read the output of a layer; the model itself if it is an output."""
    readers = list(dict.fromkeys(node.outbound_layer for node in layer.outbound_nodes))
    outputs = [output for output in model.outputs if output is layer.output]
    return readers + [model] * len(outputs)
