"""Fold the shifts around RPReLU into their neighbors, so that a device need not add them.

With `y = prelu(x + shift_in) + shift_out`, everything that reads y in a ReActNet begins by
adding a constant of its own or only adds things up:

- `sign(y + bias)` becomes `sign(z + (bias + shift_out))`,
- the shortcut `y + batch_norm(...)`, pooled or repeated on its way, carries `shift_out` on to
  the next RPReLU, whose `shift_in` takes it up,
- and `shift_in` itself becomes part of the BatchNormalization before it, which Larq Compute
  Engine makes part of the binary convolution.

Two of the seven passes over each float map disappear. The function stays the same: only the
order in which constants are added changes, thus float rounding.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from s2bnn_tf.layers import RPReLU, RSign

keras = tf.keras


def fold_shifts(model: keras.Model) -> None:
    """Fold the shifts of every RPReLU of a functional model, in place, where it is exact.

    A shift that something else reads (a pooling at the end, say) stays where it is.
    """
    if _layer_used_twice(model) is not None:
        return  # it could not take up two different shifts
    pending: dict[str, np.ndarray] = {}  # what must still be added to the output of a layer
    for layer in model.layers:  # in order of execution
        shift = _incoming(layer, pending)
        if isinstance(layer, RPReLU):
            _take_in(layer, shift, model)
            if _blocker(layer, model) is None:
                pending[layer.name] = layer.shift_out.numpy()
                layer.shift_out.assign(tf.zeros_like(layer.shift_out))
        elif (sign := _sign(layer)) is not None:
            sign.bias.assign_add(np.broadcast_to(shift, sign.bias.shape))
        elif np.any(shift):
            pending[layer.name] = np.asarray(shift)


def shifts_left(model: keras.Model) -> dict[str, str]:
    """What `fold_shifts` left in a model: the name of each shift that is not zero, and why."""
    twice = _layer_used_twice(model)
    left = {}
    for layer in model.layers:
        if not isinstance(layer, RPReLU):
            continue
        if np.any(layer.shift_in):
            left[f"{layer.name}/shift_in"] = "no BatchNormalization before it feeds it alone"
        if np.any(layer.shift_out) and twice is None:
            left[f"{layer.name}/shift_out"] = f"{_blocker(layer, model).name} reads it"
        elif np.any(layer.shift_out):
            left[f"{layer.name}/shift_out"] = f"{twice.name} is used twice in the network"
    return left


def _layer_used_twice(model: keras.Model):
    return next((layer for layer in model.layers if len(layer.inbound_nodes) > 1), None)


def _incoming(layer, pending: dict[str, np.ndarray]) -> np.ndarray | float:
    """What must still be added to the input of a layer, per channel."""
    if not any(source.name in pending for source in _sources(layer)):
        return 0.0
    shifts = [
        np.broadcast_to(pending.get(source.name, np.float32(0)), source.output.shape[-1:])
        for source in _sources(layer)
    ]
    if isinstance(layer, keras.layers.Concatenate):
        return np.concatenate(shifts)
    return np.sum(shifts, axis=0)


def _take_in(layer: RPReLU, shift: np.ndarray | float, model: keras.Model) -> None:
    """Add a shift before an RPReLU: in the BatchNormalization before it if there is one."""
    total = np.broadcast_to(shift + layer.shift_in.numpy(), layer.shift_in.shape)
    norm = _batch_norm_before(layer, model)
    if norm is None:
        layer.shift_in.assign(total)
    else:
        norm.beta.assign_add(total)
        layer.shift_in.assign(tf.zeros_like(layer.shift_in))


def _batch_norm_before(layer, model: keras.Model):
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


def _blocker(layer, model: keras.Model):
    """The first thing that reads a layer and can neither take up a constant nor hand it on."""
    for reader in _readers(layer, model):
        if isinstance(reader, RPReLU) or _sign(reader) is not None:
            continue
        blocker = _blocker(reader, model) if _passes_on(reader) else reader
        if blocker is not None:
            return blocker
    return None


def _passes_on(layer) -> bool:
    """Whether a constant per channel comes out of a layer as it went in."""
    if isinstance(layer, keras.layers.Concatenate):
        return layer.axis in (-1, len(layer.output.shape) - 1)
    # Average pooling leaves padding out of its mean.
    return isinstance(layer, (keras.layers.Add, keras.layers.AveragePooling2D))


def _sign(layer) -> RSign | None:
    """The RSign through which a layer reads its input, if it does."""
    if isinstance(layer, RSign):
        return layer
    quantizer = getattr(layer, "input_quantizer", None)
    return quantizer if isinstance(quantizer, RSign) else None


def _sources(layer) -> list:
    """The layers whose outputs a layer reads, in order."""
    return [
        source for node in layer.inbound_nodes for source in tf.nest.flatten(node.inbound_layers)
    ]


def _readers(layer, model: keras.Model) -> list:
    """The layers that read the output of a layer; the model itself if it is an output."""
    readers = list(dict.fromkeys(node.outbound_layer for node in layer.outbound_nodes))
    outputs = [output for output in model.outputs if output is layer.output]
    return readers + [model] * len(outputs)
