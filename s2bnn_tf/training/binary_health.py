"""Early signs that binary training is dying: signs that stop flipping, channels that are stuck."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import larq as lq
import tensorflow as tf

keras = tf.keras

log = logging.getLogger(__name__)


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

    Args:
        flips: The signs at the beginning of the epoch, which the checkpoint holds too.
        images: A function, called once, that returns the images to count dead channels on.
        steps_per_epoch: The number of steps in an epoch; part of an epoch is not logged.
        epoch_begun: Whether the first epoch was begun by the run that is resumed.
    """

    def __init__(
        self,
        flips: SignFlips,
        images: Callable[[], tf.Tensor],
        *,
        steps_per_epoch: int,
        epoch_begun: bool,
    ):
        super().__init__()
        self.flips = flips
        self.make_images = images
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
            still = [name for name, rate in rates.items() if rate == 0.0]
            if still:
                log.warning("No sign flipped in epoch %d in: %s.", epoch + 1, ", ".join(still))
        student = self.model.student_to_read()
        if self.dead is None:
            self.dead = DeadChannels(student.backbone)
            self.images = self.make_images() if self.dead.layers else None
        counts = self.dead.count(self.images)
        if counts:
            logs.update(dead_channels=sum(counts.values()), dead_channels_by_layer=counts)
