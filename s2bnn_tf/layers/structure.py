"""The layers of a network, and which of them compute with bits."""

from __future__ import annotations

from collections.abc import Iterator

import larq as lq
import tensorflow as tf

keras = tf.keras


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Iterate over the layers of a functional model, including those of nested models.

    >>> inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    >>> outer = keras.Sequential([keras.Input((4,)), inner, keras.layers.ReLU(name="relu")])
    >>> [layer.name for layer in leaf_layers(outer)]
    ['dense', 'relu']

    Args:
        model: A functional or sequential model.

    Returns:
        The layers that are not models themselves, in order of execution.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def is_binary(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a convolution of binary inputs with binary weights.

    >>> from s2bnn_tf.layers import BinaryConv2D
    >>> is_binary(BinaryConv2D(8, 3)), is_binary(BinaryConv2D(8, 3, binarize_weights=False))
    (True, False)

    Args:
        layer: Any layer; only convolutions by Larq, such as `BinaryConv2D`, can be binary.
    """
    return isinstance(layer, lq.layers.QuantConv2D) and all(
        getattr(quantizer, "precision", None) == 1
        for quantizer in (layer.input_quantizer, layer.kernel_quantizer)
    )
