"""A student that begins as a converted file: latent weights made of its signs and scales."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones import (
    QUICKNET_SIZES,
    ReverseImage,
    backbone_names,
    build_backbone,
)
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.image_size import ImageSize, height_width
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.runs.file_operations import FileOperations, MismatchError
from s2bnn_tf.runs.neighbors import sources
from s2bnn_tf.runs.statistics import can_settle
from s2bnn_tf.runs.unfolding import Unfolding
from s2bnn_tf.runs.unfolding_rules import RULES, without_reversal
from s2bnn_tf.tflite import TFLiteGraph, read_graph

keras = tf.keras

# The channels of the last map, at width 1
_CHANNELS = {"reactnet": 1024, "bnext": 1024, **dict.fromkeys(QUICKNET_SIZES, 512)}
# These two stems differ in the stride of one convolution alone, so the weights of a network with
# one of them fit the other, which sees its pictures at another scale.
_ALIKE = {"small", "medium"}
_STEM = ("stem_conv",)
_STEMS = {3: "small", 4: "medium", 5: "imagenet"}  # by how often a side is halved, to the last map


def copy_tflite(path: str | Path, backbone: keras.Model) -> None:
    """Give a network the features of a file that was converted from one like it.

    A file holds the sign of each binary weight and what was folded together: a scale and a shift
    per output channel, a threshold per input channel; and, as they are, slopes, gates and the
    kernels of real numbers. The latent weights become the signs times a constant, and the
    statistics of most BatchNormalizations 0 and 1, with which the features are those of the file.
    `settle_statistics` makes them fit to train from.

    Args:
        path: The `.tflite`, by `s2bnn convert` from a network of 1-bit weights, of any head but
            a map from its middle.
        backbone: A `reactnet`, a `bnext`, a `quicknet`, or another functional network of
            `BinaryConv2D` and the layers in `RULES`, whose weights are replaced; its latent weights
            may be real. A `reactnet` or a `bnext` of the small stem may begin as a file of the
            medium one, and the other way around, without the features of the file.

    Raises:
        ModelError: If the file cannot be read, or holds another kind of network.
        ConfigError: If the network has other layers, or if the file's backbone, width or stem is
            another one.
    """
    graph = read_graph(path)
    _check_layers(path, backbone)
    _check_same_network(path, graph, backbone)
    try:
        _unfold(backbone, Unfolding(FileOperations(graph), _STEM)).assign()
    except (MismatchError, ValueError) as error:  # or arrays do not fit each other
        raise ModelError(
            f"student.init_from: {path} is not what `s2bnn convert` makes of a {backbone.name} "
            "with 1-bit weights; name such a file, or a run directory."
        ) from error


def backbone_of_tflite(path: str | Path, image_size: ImageSize) -> keras.Model:
    """Build the network that a file was converted from, for pictures of any size.

    Args:
        path: As for `copy_tflite`, of a network with a name of ours.
        image_size: The side of the pictures in pixels, or their height and width. Where they are
            too small for the file's stem, the network has the small one.

    Returns:
        A frozen Keras model from normalized images `(B, H, W, C)` to features `(B, F)`.

    Raises:
        ModelError: If the file cannot be read, or holds another kind of network, or the pictures
            are too small for it.
    """
    graph = read_graph(path)
    name = min(_names(graph) & _CHANNELS.keys(), default=None)
    found = _options_of(name, graph) if name and graph.binary_convolutions() else {}
    if name is None or not found or not _is_large_enough(path, name, found["student.width"]):
        raise ModelError(
            f"{path} is not a 1-bit network that `s2bnn convert` has made; name such a file, or "
            "the run that it was converted from."
        )
    shape = (*height_width(image_size), found["data.channels"])
    options = {"stem": found["student.stem"], "width": found["student.width"]}
    options |= {"reverse_input": True} if found["student.reverse_input"] else {}
    try:
        network = build_backbone(name, shape, **options)
    except ModelError:
        if options["stem"] not in _ALIKE:
            raise
        network = build_backbone(name, shape, **{**options, "stem": "small"})
    copy_tflite(path, network)
    network.trainable = False
    return network


def _is_large_enough(path: str | Path, name: str, width: float) -> bool:
    """Whether a file can hold the network of that width, before memory is taken for one.

    Its last binary convolution alone has C channels from C or C / 2, a bit for each pair.
    """
    return (width * _CHANNELS[name]) ** 2 <= 2 * 8 * Path(path).stat().st_size


def _unfold(backbone: keras.Model, own: Unfolding) -> Unfolding:
    """Compare each layer with the operation that makes its output, from the last to the first.

    The order of its inputs tells which operations belong to the layers before it, also where
    branches look alike.
    """
    last, end = backbone.layers[-1], own.operations.features()
    if end is None:  # a map alone, perhaps turned back
        (last,), (output,) = sources(last), own.operations.graph.outputs
        end = without_reversal(own.operations, output)
    own.tensors[last.name] = end
    for layer in reversed(backbone.layers):  # each comes after all that read its output
        if layer.name not in own.tensors:
            continue  # behind the map
        found = RULES[type(layer)](own, layer, own.tensors[layer.name])
        before = sources(layer)
        if len(found) != len(before):
            raise MismatchError(f"{layer.name} has another number of inputs")
        for source, tensor in zip(before, found):
            if own.tensors.setdefault(source.name, tensor) != tensor:
                raise MismatchError(f"{source.name} would be two tensors")
    return own


def _check_layers(path: str | Path, backbone: keras.Model) -> None:
    """Refuse a network of other layers, or without binary ones."""
    is_binary = any(isinstance(layer, BinaryConv2D) for layer in backbone.layers)
    unknown = [
        layer.name
        for layer in backbone.layers
        if type(layer) not in RULES
        or (isinstance(layer, keras.layers.BatchNormalization) and not can_settle(layer))
    ]
    if is_binary and not unknown:
        return
    reason = f"its layer {unknown[0]} is not known" if is_binary else "it has no binary layers"
    raise ConfigError(
        f"student.init_from: {path} is a file, and a {backbone.name} cannot begin as one, because "
        f"{reason}; name the run directory that it was converted from."
    )


def _check_same_network(path: str | Path, graph: TFLiteGraph, backbone: keras.Model) -> None:
    """Refuse a file whose backbone, width, stem or channels are others, with their names.

    A file that does not name a network of ours is left to the comparison of layers.
    """
    named = _names(graph)
    if not named or len(graph.inputs) != 1:
        return
    name = backbone.name
    _check_equal(path, "student.backbone", name if name in named else min(named), name)
    layers = [layer for layer in backbone.layers if isinstance(layer, BinaryConv2D)]
    operations = graph.binary_convolutions()
    if len(operations) < len(layers):
        raise ModelError(
            f"student.init_from: {path} has only {len(operations)} of the {len(layers)} binary "
            f"convolutions of a {name}, as a map may have; convert with --head none."
        )
    if name in _CHANNELS:
        reverses = any(type(layer) is ReverseImage for layer in backbone.layers)
        ours = _options(name, backbone.input_shape, layers[-1].output_shape, reverses)
        for key, found in _options_of(name, graph).items():
            if not (key == "student.stem" and {found, ours[key]} == _ALIKE):
                _check_equal(path, key, found, ours[key])


def _names(graph: TFLiteGraph) -> set[str]:
    """The networks of ours that the tensors of a file are named after, one at most."""
    pattern = re.compile(r"\bdeployed/(\w+)/")
    named = {match for tensor in graph.tensors for match in pattern.findall(tensor.name)}
    return named & set(backbone_names())


def _options_of(name: str, graph: TFLiteGraph) -> dict[str, Any]:
    """The options of a file's network, as far as they show."""
    last = graph.binary_convolutions()[-1].outputs[0]
    image, end = (graph.tensors[i].shape for i in (graph.inputs[0], last))
    reverses = any(operation.name == "REVERSE_V2" for operation in graph.operations)
    return _options(name, image, end, reverses)


def _options(
    name: str, image: tuple[int, ...], last: tuple[int, ...], reverses: bool
) -> dict[str, Any]:
    """The options that show in the shapes of the picture and of the last map, if they are maps."""
    if len(image) != 4 or len(last) != 4 or min(image[1] or 0, last[1] or 0) < 1:
        return {}
    halvings = round(math.log2(image[1] / last[1]))  # a side that is not even is rounded up
    return {
        "student.width": last[3] / _CHANNELS[name],
        "student.stem": _STEMS.get(halvings),
        "student.reverse_input": reverses,
        "data.channels": image[3],
    }


def _check_equal(path: str | Path, key: str, theirs: Any, ours: Any) -> None:
    if theirs != ours:
        raise ConfigError(
            f"student.init_from: {path} has {key} {theirs}, this recipe has {ours}; "
            f"make them the same: --set {key}={json.dumps(theirs)}."
        )
