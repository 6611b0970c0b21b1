"""The layers before and behind a layer of a functional network."""

from __future__ import annotations

import tensorflow as tf

keras = tf.keras


def sources(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers whose outputs a layer reads, in order."""
    return [
        source for node in layer.inbound_nodes for source in tf.nest.flatten(node.inbound_layers)
    ]


def sole_reader(layer: keras.layers.Layer) -> keras.layers.Layer | None:
    """The only layer that reads a layer's output; None if there are several, or none."""
    readers = {node.outbound_layer for node in layer.outbound_nodes}
    return readers.pop() if len(readers) == 1 else None


def norm_behind(layer: keras.layers.Layer) -> keras.layers.BatchNormalization | None:
    """The normalization that alone reads a layer's output, if there is one."""
    reader = sole_reader(layer)
    return reader if isinstance(reader, keras.layers.BatchNormalization) else None
