"""Which pixels the network in an ONNX file takes, as far as the file says so.

Many files subtract means and divide by deviations themselves, in their first operations. Their
factors tell whether pixels of 0..1 or of 0..255 are meant, since all of them lead to values near 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data import IMAGENET_MEAN, IMAGENET_STD
from s2bnn_tf.teachers.onnx_file import Node, OnnxFile

_WITHOUT_EFFECT = ("Cast", "Identity", "Transpose")
_SMALLEST_FACTOR = 0.1  # of pixels in 0..1: 1 / std is between 1 and 5
_LARGEST_SHIFT = 10.0  # of pixels in 0..1: mean / std is at most 3
# https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md: mean and std of pixels in 0..1
_RANGES = {
    "NominalRange_0_255": (0.0, 1 / 255),
    "Normalized_0_1": (0.0, 1.0),
    "Normalized_1_1": (0.5, 0.5),
}


@dataclass(frozen=True)
class Statistics:
    """How pixels become the input of a network: `(pixel - mean) / std`, with pixels in 0..1.

    Attributes:
        mean: One number, or one per channel.
        std: Likewise.
        source: Where they are from: "file", or "ImageNet" where the file says nothing.
        reverse: Whether the first channel is blue.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    reverse: bool = False


def find_statistics(file: OnnxFile, *, bytes_taken: bool) -> Statistics:
    """Find out which input a network expects.

    Args:
        file: The file.
        bytes_taken: Whether its input is of type uint8.
    """
    reverse = file.metadata.get("Image.BitmapPixelFormat", "").lower().startswith("bgr")
    stated = _RANGES.get(file.metadata.get("Image.NominalPixelRange", ""))
    if bytes_taken:
        stated = _RANGES["NominalRange_0_255"]
    first = first_factor(file)
    if stated is None and first is not None:
        scale, shift = first
        of_bytes = scale < _SMALLEST_FACTOR or shift > _LARGEST_SHIFT
        stated = _RANGES["NominalRange_0_255" if of_bytes else "Normalized_0_1"]
    if stated is not None:
        return Statistics((stated[0],), (stated[1],), "file", reverse)
    return Statistics(IMAGENET_MEAN, IMAGENET_STD, "ImageNet", reverse)


def first_factor(file: OnnxFile) -> tuple[float, float] | None:
    """The largest factor and the largest shift of the pixels in the first operations of a file.

    Returns:
        Both as absolute values; None if the file does not begin with arithmetic.
    """
    if len(file.inputs) != 1:
        return None
    (name,), scale, shift, found = file.inputs, np.ones(1), np.zeros(1), False
    while True:
        users = [node for node in file.nodes if name in node.inputs]
        if len(users) != 1 or not users[0].outputs:
            break
        if users[0].kind not in _WITHOUT_EFFECT:
            step = _affine(users[0], name, file.constants)
            if step is None:
                break
            scale, shift, found = scale * step[0], shift * step[0] + step[1], True
        name = users[0].outputs[0]
    return (float(np.abs(scale).max()), float(np.abs(shift).max())) if found else None


def _affine(
    node: Node, name: str, constants: dict[str, NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Factor and shift of an operation with constants, one for all channels or one for each."""
    others = [constants.get(other) for other in node.inputs if other != name]
    known = [other for other in others if other is not None and other.size in (1, 3)]
    if not known or len(known) != len(others) or len(others) != len(node.inputs) - 1:
        return None
    first, zero, one = known[0], np.zeros(1), np.ones(1)
    with np.errstate(all="ignore"):
        if node.kind == "BatchNormalization" and len(known) == 4:
            gamma, beta, mean, variance = known
            factor = gamma / np.sqrt(variance + node.epsilon)
            return factor, beta - mean * factor
        if len(known) != 1:
            return None
        is_first = node.inputs[0] == name
        if node.kind == "Add":
            return one, first
        if node.kind == "Mul":
            return first, zero
        if node.kind == "Sub":
            return (one, -first) if is_first else (-one, first)
        if node.kind == "Div" and is_first:
            return 1 / first, zero
    return None
