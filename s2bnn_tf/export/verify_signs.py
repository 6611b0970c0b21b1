"""Read, and if wanted dictate, the signs at the inputs of a Keras network's binary convolutions.

Rounding flips a few signs, where an input is zero but for rounding, and every flip changes
what follows. A network that is made to use the signs of another execution must agree with it
to float rounding, up to the last layer; so the two causes can be told apart.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import larq as lq
import numpy as np
import tensorflow as tf

Layer: TypeAlias = lq.layers.QuantConv2D

# Beyond any learned threshold: its sign is what every quantizer makes of it.
LARGE = 1e6
# A sign that rounding may flip is this close to its threshold, relative to the largest input.
NEAR_ZERO = 1e-3


@dataclass(frozen=True)
class SignRecord:
    """How the signs that a layer took differ from given ones.

    Attributes:
        compared: Number of signs.
        flipped: How many differ.
        wrong: How many differ although their input is not near the threshold.
    """

    compared: int
    flipped: int
    wrong: int


@contextlib.contextmanager
def compared_signs(
    given: Mapping[Layer, np.ndarray], *, dictate: bool
) -> Iterator[dict[Layer, SignRecord]]:
    """Compare the signs that layers take with given ones, while their network runs eagerly.

    Args:
        given: For each binary convolution its signs, -1 and +1, `(B, H, W, C)`.
        dictate: Whether the layers then use the given signs in the place of their own.

    Yields:
        The records of the layers that have run so far, in order of execution.
    """
    records: dict[Layer, SignRecord] = {}
    originals = {layer: layer.call for layer in given}

    def comparing(layer: Layer):
        def call(inputs):
            records[layer] = _compare(layer.input_quantizer, inputs, given[layer])
            return originals[layer](tf.constant(LARGE * given[layer]) if dictate else inputs)

        return call

    for layer in given:
        layer.call = comparing(layer)
    try:
        yield records
    finally:
        for layer, original in originals.items():
            layer.call = original


def _compare(quantizer, inputs: tf.Tensor, given: np.ndarray) -> SignRecord:
    nudge = NEAR_ZERO * tf.reduce_max(tf.abs(inputs))
    flipped = quantizer(inputs).numpy() != given
    wrong = flipped & (quantizer(inputs + nudge).numpy() != given)
    wrong &= quantizer(inputs - nudge).numpy() != given
    return SignRecord(flipped.size, int(flipped.sum()), int(wrong.sum()))
