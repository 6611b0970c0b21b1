"""The layers inside a network, and which of them compute with bits."""

from __future__ import annotations

from collections.abc import Iterator

import larq as lq
import tensorflow as tf

keras = tf.keras


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a functional model in order of execution, those of nested models too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def is_binary(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a convolution of binary inputs with binary weights."""
    return isinstance(layer, lq.layers.QuantConv2D) and all(
        getattr(quantizer, "precision", None) == 1
        for quantizer in (layer.input_quantizer, layer.kernel_quantizer)
    )
