"""The maps inside a backbone: features of every place in the picture, before they are pooled."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.backbones.reversal import ReverseImage

keras = tf.keras


def last_maps(backbone: keras.Model) -> dict[int, tf.Tensor]:
    """Find the deepest map of every stride.

    Args:
        backbone: A functional model of images `(B, H, W, channels)`, H and W known.

    Returns:
        By the pixels N of the image to one place, the output `(B, H / N, W / N, C)` of a layer;
        maps of one row or column are left out.
    """
    height, width = backbone.input_shape[1:3]
    maps = {}
    for layer in backbone.layers[1:]:
        shape = getattr(layer, "output_shape", None)
        if len(layer.inbound_nodes) != 1 or not isinstance(shape, tuple) or len(shape) != 4:
            continue
        _, rows, columns, channels = shape
        if None in (height, width, rows, columns, channels) or 1 in (rows, columns):
            continue
        stride = max(1, round(height / rows))
        # As many places as `same` padding gives; others would not lie evenly over the image.
        if (rows, columns) == (-(-height // stride), -(-width // stride)):
            maps[stride] = layer.output
    return maps


def reverses_image(model: keras.Model) -> bool:
    """Whether the only layer that reads the image is a `ReverseImage`; then maps are reversed."""
    if len(model.layers) < 2 or not isinstance(model.layers[1], ReverseImage):
        return False
    readers = {node.outbound_layer for node in model.layers[0].outbound_nodes}
    return readers == {model.layers[1]}
