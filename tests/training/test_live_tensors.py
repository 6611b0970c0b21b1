"""The life of tensors, counted by hand."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.training.live_tensors import LiveTensors, live_tensors

keras = tf.keras
IMAGE = (8, 8, 3)
BYTES = 4 * 8 * 8 * 3  # of an image


def follow(function) -> LiveTensors:
    (live,) = live_tensors(lambda images: [function(images)], IMAGE)
    return live


def test_a_chain_in_place_takes_one_buffer():
    live = follow(lambda x: [tf.nn.relu(-tf.abs(tf.roll(x, 1, 1)))])
    assert live.peak(10) == 10 * BYTES


def test_a_tensor_lives_until_its_last_reader():
    def function(x):
        rolled = tf.roll(x, 1, 1)
        small = tf.reduce_sum(tf.roll(rolled, 1, 1), axis=[1, 2, 3], keepdims=True)
        return [small + tf.reduce_sum(rolled, axis=[1, 2, 3], keepdims=True)]

    live = follow(function)
    assert live.peak(10) == 10 * (2 * BYTES + 4), "both maps, and the first sum"
    assert live.fixed.max() == 0


def test_what_the_backward_pass_needs_is_kept():
    """Ten layers, whose outputs are all kept for the gradient and none without it."""
    layers = [keras.layers.Conv2D(3, 3, padding="same", activation="tanh") for _ in range(10)]
    network = keras.Sequential([keras.Input(IMAGE), *layers])
    forward = follow(lambda x: [network(x)])

    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(x))
        return tape.gradient(loss, network.trainable_variables)

    backward = follow(gradients)
    assert forward.peak(100) == 2 * 100 * BYTES
    assert 10 * 100 * BYTES < backward.peak(100) < 13 * 100 * BYTES
    weights = 4 * sum(v.shape.num_elements() for v in network.variables)
    assert 0 <= backward.fixed[-1] - weights < 64, "in the end there are the gradients"


def test_results_of_a_batch_and_others_are_told_apart():
    kernel = tf.Variable(tf.zeros((5, 5, 3, 7)))
    live = follow(lambda x: [tf.nn.conv2d(x, 2 * kernel, 1, "SAME")])
    assert live.peak(0) == 4 * 5 * 5 * 3 * 7
    assert live.peak(3) - live.peak(0) == 3 * 4 * 8 * 8 * 7


def test_half_precision_takes_half():
    whole = follow(lambda x: [tf.roll(x, 1, 1)])
    half = follow(lambda x: [tf.cast(x, tf.bfloat16)])
    assert half.peak(8) == whole.peak(8) / 2
