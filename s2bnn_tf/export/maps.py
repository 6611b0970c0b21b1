"""The map of a backbone: features of every place in the picture, from before they are pooled."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.backbones import Encoder, ReverseImage, last_maps, reverses_image
from s2bnn_tf.errors import ConfigError, ModelError

keras = tf.keras


def with_map(encoder: Encoder, head: str, stride: int | None = None) -> Encoder:
    """Return an encoder whose backbone gives what a head with a map asks for.

    It shares all layers with the given one. With the map alone, the layers behind it are left
    out. A network that begins by reversing the image has a reversed map, which is turned back.

    Args:
        encoder: A model from normalized images to embeddings.
        head: The head; any without a map leaves the encoder as it is.
        stride: The pixels N of the image to one place of the map. Defaults to half of those of
            the last map, because the last one tells kinds of things rather than where they differ.

    Returns:
        An encoder whose backbone goes from images to the map `(B, H / N, W / N, C)`, or to a list
        of the features `(B, F)` and the map.

    Raises:
        ConfigError: If the network has no map of that stride.
        ModelError: If it has no map at all.
    """
    if "map" not in head.split("+"):
        return encoder
    backbone = encoder.backbone
    maps = last_maps(backbone)
    if not maps:
        raise ModelError(
            f"{backbone.name!r} has no map: its layers give no features of places; convert it "
            "with --head none."
        )
    if stride is None:
        stride = max((known for known in maps if 2 * known <= max(maps)), default=max(maps))
    if stride not in maps:
        raise ConfigError(
            f"{backbone.name!r} has maps of stride {', '.join(map(str, sorted(maps)))}, not "
            f"{stride}: choose one of them with --map-stride."
        )
    found = maps[stride]
    if reverses_image(backbone):
        found = ReverseImage(name="map_turned_back", dtype=found.dtype.name)(found)
    outputs = found if head == "map" else [backbone.output, found]
    return Encoder(keras.Model(backbone.input, outputs, name=backbone.name), encoder.head)
