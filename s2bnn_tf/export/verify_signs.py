"""Compare, or dictate, the signs at the inputs of a Keras network's binary convolutions.

Where an input is zero up to rounding, rounding may flip its sign, and every flip changes the
layers behind it. A network that is made to use the signs of another execution must agree with it
up to float rounding, to the last layer. This is how flips are told apart from mistakes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import larq as lq
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Layer: TypeAlias = lq.layers.QuantConv2D

# Beyond any learned threshold, so that every quantizer keeps the sign.
LARGE = 1e6
# A sign that rounding may flip is this close to its threshold, relative to the largest input.
NEAR_ZERO = 1e-3


@dataclass(frozen=True)
class SignRecord:
    """How the signs that a layer took differ from given ones.

    Attributes:
        compared: The number of signs.
        flipped: How many differ.
        wrong: How many differ although their input is not near the threshold.
    """

    compared: int
    flipped: int
    wrong: int


@contextlib.contextmanager
def compared_signs(
    given: Mapping[Layer, NDArray[np.float32]], *, dictate: bool
) -> Iterator[dict[Layer, SignRecord]]:
    """Compare the signs that layers take with given ones, while their network runs eagerly.

    Args:
        given: The signs for each binary convolution, -1 and +1, `(B, H, W, C)`.
        dictate: Whether the layers then use the given signs instead of their own.

    Yields:
        The records of the layers that have run so far, in order of execution.
    """
    records: dict[Layer, SignRecord] = {}
    originals = {layer: layer.call for layer in given}

    def comparing(layer: Layer) -> Callable[..., tf.Tensor]:
        def call(inputs: tf.Tensor, **options: Any) -> tf.Tensor:
            records[layer] = _compare(layer.input_quantizer, inputs, given[layer])
            if dictate:
                inputs = tf.constant(LARGE * given[layer])
            return originals[layer](inputs, **options)

        return call

    for layer in given:
        layer.call = comparing(layer)
    try:
        yield records
    finally:
        for layer, original in originals.items():
            layer.call = original


def _compare(
    quantizer: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor, given: NDArray[np.float32]
) -> SignRecord:
    nudge = NEAR_ZERO * tf.reduce_max(tf.abs(inputs))
    flipped = quantizer(inputs).numpy() != given
    wrong = flipped & (quantizer(inputs + nudge).numpy() != given)
    wrong &= quantizer(inputs - nudge).numpy() != given
    return SignRecord(flipped.size, int(flipped.sum()), int(wrong.sum()))
