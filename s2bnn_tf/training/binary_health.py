"""Early signs that binary training is dying: signs that stop flipping, channels that are stuck."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import larq as lq
import tensorflow as tf

keras = tf.keras

log = logging.getLogger(__name__)

_LOW_RATE = 0.1  # of the highest learning rate; below, signs come to rest as they should
_EXPECTED = 100.0  # flips; where so many are expected, none is no chance


def binary_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a network, at any depth, whose input or kernel is quantized."""
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, lq.layers_base.QuantizerBase):
            yield layer


class SignFlips:
    """Compares the signs of all binary kernels with those at the beginning of an epoch.

    `before`, one bit per weight, is part of the run's checkpoints, so that a resumed epoch is
    counted as a whole.

    Args:
        model: The network that is trained.
    """

    def __init__(self, model: keras.Model):
        self.kernels = [
            (layer.name, layer.kernel)
            for layer in binary_layers(model)
            if layer.kernel_quantizer is not None
        ]
        self.before = [tf.Variable(_pack(kernel), trainable=False) for _, kernel in self.kernels]

    def begin(self) -> None:
        """Remember the signs as they are now."""
        for before, (_, kernel) in zip(self.before, self.kernels):
            before.assign(_pack(kernel))

    def rates(self) -> dict[str, float]:
        """Return, by layer, the share of weights whose sign has changed since `begin`: [0, 1]."""
        rates = {}
        for before, (name, kernel) in zip(self.before, self.kernels):
            changed = tf.bitwise.bitwise_xor(before, _pack(kernel))
            flips = tf.reduce_sum(tf.cast(tf.raw_ops.PopulationCount(x=changed), tf.int64))
            rates[name] = int(flips) / int(tf.size(kernel))
        return rates


def _pack(kernel: tf.Variable) -> tf.Tensor:
    """Pack the signs of a kernel, eight per byte: uint8 `(ceil(size / 8),)`."""
    signs = tf.cast(tf.reshape(tf.convert_to_tensor(kernel) >= 0, [-1]), tf.int32)
    signs = tf.pad(signs, [[0, -signs.shape[0] % 8]])
    weights = tf.constant([1 << bit for bit in range(8)])
    return tf.cast(tf.reduce_sum(tf.reshape(signs, (-1, 8)) * weights, axis=1), tf.uint8)


class DeadChannels:
    """Counts the input channels of binary layers that carry the same bit everywhere in a batch.

    Such a channel carries no information; a layer whose channels are all dead passes nothing.

    Args:
        model: A functional network of this package or of Larq.
    """

    def __init__(self, model: keras.Model):
        self.layers = [la for la in binary_layers(model) if la.input_quantizer is not None]
        inputs = [layer.input for layer in self.layers]
        # Without a binary layer there is nothing to run.
        self.probe = keras.Model(model.inputs, inputs or model.inputs)

    def count(self, images: tf.Tensor) -> dict[str, int]:
        """Return the number of dead channels by layer, for normalized images `(B, H, W, 3)`."""
        if not self.layers:
            return {}
        counts = self._count(images)
        return {layer.name: int(number) for layer, number in zip(self.layers, counts)}

    @tf.function(reduce_retracing=True)
    def _count(self, images: tf.Tensor) -> list[tf.Tensor]:
        counts = []
        for layer, x in zip(self.layers, tf.nest.flatten(self.probe(images, training=False))):
            bits = layer.input_quantizer(x)
            axes = list(range(len(bits.shape) - 1))
            stuck = tf.reduce_max(bits, axes) == tf.reduce_min(bits, axes)
            counts.append(tf.reduce_sum(tf.cast(stuck, tf.int32)))
        return counts


class BinaryHealth(keras.callbacks.Callback):
    """Log `flip_rate` and `dead_channels` of each epoch, for the whole network and by layer.

    A layer whose signs stand still is warned of once, where that is no chance: at the end of a
    schedule nothing flips, and in a layer of 256 weights often nothing flips in a short epoch.

    Args:
        flips: The signs at the beginning of the epoch, which the checkpoint holds too.
        images: A function, called once, that returns the images to count dead channels on.
        learning_rate: The learning rate at its highest.
        steps_per_epoch: The number of steps in an epoch; part of an epoch is not logged.
        epoch_begun: Whether the first epoch was begun by the run that is resumed.
    """

    def __init__(
        self,
        flips: SignFlips,
        images: Callable[[], tf.Tensor],
        *,
        learning_rate: float,
        steps_per_epoch: int,
        epoch_begun: bool,
    ):
        super().__init__()
        self.flips = flips
        self.make_images = images
        self.highest_rate = learning_rate
        self.warned: set[str] = set()
        self.steps_per_epoch = steps_per_epoch
        self.epoch_begun = epoch_begun
        self.dead: DeadChannels | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any]) -> None:
        if not self.epoch_begun:
            self.flips.begin()
        self.epoch_begun = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if self.model.steps_done() % self.steps_per_epoch:
            return  # stopped within the epoch, which the resumed run counts as a whole
        rates = self.flips.rates()
        if rates:
            logs.update(flip_rate=sum(rates.values()) / len(rates), flip_rates=rates)
            self._warn(rates, epoch)
        student = self.model.student_to_read()
        if self.dead is None:
            self.dead = DeadChannels(student.backbone)
            self.images = self.make_images() if self.dead.layers else None
        counts = self.dead.count(self.images)
        if counts:
            logs.update(dead_channels=sum(counts.values()), dead_channels_by_layer=counts)

    def _warn(self, rates: dict[str, float], epoch: int) -> None:
        if float(self.model.learning_rate()) < _LOW_RATE * self.highest_rate:
            return
        sizes = {name: int(tf.size(kernel)) for name, kernel in self.flips.kernels}
        still = set(frozen_layers(rates, sizes)) - self.warned
        if still:
            self.warned |= still
            names = ", ".join(name for name in rates if name in still)
            log.warning(
                "No sign flipped in epoch %d in: %s; raise optimizer.learning_rate, or start from "
                "student.kernel_initializer=small_positive.",
                epoch + 1,
                names,
            )


def frozen_layers(rates: Mapping[str, float], sizes: Mapping[str, int]) -> list[str]:
    """Name the layers without a flip, where that is no chance.

    Args:
        rates: The share of weights that flipped, by layer.
        sizes: The number of weights, by layer.

    Returns:
        All layers if nothing flipped anywhere; otherwise those of which 100 weights or more would
        have flipped at the rate of the whole network.
    """
    flipped = sum(rates[name] * sizes[name] for name in rates)
    overall = flipped / sum(sizes[name] for name in rates)
    return [
        name
        for name, rate in rates.items()
        if rate == 0.0 and (flipped == 0.0 or overall * sizes[name] >= _EXPECTED)
    ]
