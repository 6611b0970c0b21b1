"""Adam, SGD and LAMB against NumPy and TensorFlow Addons: where decay and epsilon are."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.config import OptimizerConfig
from s2bnn_tf.training import LAMB, SGD, Adam
from s2bnn_tf.training.optimizers import build_optimizer

pytestmark = pytest.mark.both_sets

keras = tf.keras

START = np.float32([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])


def gradients(steps: int, scale: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(scale * rng.normal(size=START.shape)).astype(np.float32) for _ in range(steps)]


def numpy_adam(steps: list[np.ndarray], learning_rate, l2: float) -> np.ndarray:
    w, m, v = START.astype(np.float64), 0.0, 0.0
    for t, gradient in enumerate(steps, start=1):
        g = gradient + l2 * w
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        w = w - learning_rate(t - 1) * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


def numpy_sgd(steps: list[np.ndarray], learning_rate, momentum: float, l2: float) -> np.ndarray:
    w, velocity = START.astype(np.float64), 0.0
    for t, gradient in enumerate(steps):
        velocity = momentum * velocity - learning_rate(t) * (gradient + l2 * w)
        w = w + velocity
    return w


def numpy_lamb(steps: list[np.ndarray], learning_rate, decay: float) -> np.ndarray:
    w, m, v = START.astype(np.float64), 0.0, 0.0
    for t, g in enumerate(steps, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        u = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6) + decay * w
        length = np.linalg.norm(u)
        w = w - learning_rate(t - 1) * (np.linalg.norm(w) / length if length else 1.0) * u
    return w


def run(optimizer: keras.optimizers.Optimizer, steps: list[np.ndarray], compiled: bool):
    variable = tf.Variable(START)
    optimizer.build([variable])

    def apply(gradient):
        optimizer.apply_gradients([(gradient, variable)])

    apply = tf.function(apply) if compiled else apply
    for gradient in steps:
        apply(tf.constant(gradient))
    assert int(optimizer.iterations) == len(steps)
    return variable.numpy()


def constant(step: int) -> float:
    return 0.05


# A scale of 1e-8 makes epsilon as large as the root: its place and size decide the result.
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize(("scale", "l2"), [(1.0, 0.0), (1.0, 0.1), (1e-8, 0.0), (0.0, 0.1)])
def test_adam(scale, l2, compiled):
    steps = gradients(6, scale)
    result = run(Adam(0.05, l2=l2), steps, compiled)
    np.testing.assert_allclose(result, numpy_adam(steps, constant, l2), atol=2e-5)
    assert not np.allclose(result, START, atol=1e-3)


def test_weight_decay_of_adam_is_not_decoupled():
    """Decay alone moves Adam by the learning rate, whatever the decay's strength."""
    still = [np.zeros_like(START)]
    moved = np.abs(run(Adam(0.05, l2=1e-4), still, False) - START)
    np.testing.assert_allclose(moved[START != 0], 0.05, rtol=1e-3)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd(momentum, l2, compiled):
    steps = gradients(6, 1.0)
    result = run(SGD(0.05, momentum=momentum, l2=l2), steps, compiled)
    np.testing.assert_allclose(result, numpy_sgd(steps, constant, momentum, l2), atol=2e-5)


class Halving(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1 * 0.5 ** tf.cast(step, tf.float32)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_a_schedule_is_followed_step_by_step(compiled):
    steps = gradients(4, 1.0)
    rate = [0.1, 0.05, 0.025, 0.0125].__getitem__
    adam = run(Adam(Halving(), l2=0.1), steps, compiled)
    np.testing.assert_allclose(adam, numpy_adam(steps, rate, 0.1), atol=2e-5)
    sgd = run(SGD(Halving(), momentum=0.9, l2=0.1), steps, compiled)
    np.testing.assert_allclose(sgd, numpy_sgd(steps, rate, 0.9, 0.1), atol=2e-5)
    lamb = run(LAMB(Halving(), decay=0.1), steps, compiled)
    np.testing.assert_allclose(lamb, numpy_lamb(steps, rate, 0.1), atol=2e-5)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize(("scale", "decay"), [(1.0, 0.0), (1.0, 0.1), (1e-6, 0.0), (0.0, 0.1)])
def test_lamb(scale, decay, compiled):
    steps = gradients(6, scale)
    result = run(LAMB(0.05, decay=decay), steps, compiled)
    np.testing.assert_allclose(result, numpy_lamb(steps, constant, decay), atol=2e-5)
    assert not np.allclose(result, START, atol=1e-3)


def test_lamb_leaves_what_has_no_length_and_no_gradient():
    variable = tf.Variable([0.0, 0.0])
    optimizer = LAMB(0.05, decay=0.1)
    optimizer.build([variable])
    optimizer.apply_gradients([(tf.zeros(2), variable)])
    np.testing.assert_array_equal(variable, 0)
    optimizer.apply_gradients([(tf.constant([1.0, -1.0]), variable)])  # from 0 it moves like Adam
    assert np.all(variable.numpy() * [-1, 1] > 0.01)


@pytest.mark.only_with("2.15", "TensorFlow Addons")
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lamb_is_that_of_tensorflow_addons(decay):
    import tensorflow_addons as tfa

    ours, theirs = tf.Variable(START), tf.Variable(START)
    lamb = LAMB(Halving(), decay=decay)
    lamb.build([ours])
    addons = tfa.optimizers.LAMB(Halving(), weight_decay=decay)
    for gradient in gradients(50, 1.0):
        lamb.apply_gradients([(tf.constant(gradient), ours)])
        addons.apply_gradients([(tf.constant(gradient), theirs)])
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert not np.allclose(ours, START, atol=0.05)


def test_config_round_trip_of_lamb():
    optimizer = LAMB(0.25, decay=1e-3)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert (type(again), again.decay, again.epsilon) == (LAMB, 1e-3, 1e-6)


@pytest.mark.parametrize("make", [Adam, SGD])
def test_config_round_trip(make):
    optimizer = make(0.25, l2=1e-3)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is make
    assert again.get_config() == optimizer.get_config()
    assert again.l2 == 1e-3


def test_the_optimizer_of_a_recipe():
    weights = [tf.Variable([1.0])]
    adam = build_optimizer(OptimizerConfig(name="adam", weight_decay=1e-4), Halving(), weights)
    assert (type(adam), adam.l2, adam.epsilon) == (Adam, 1e-4, 1e-8)
    assert (adam.beta_1, adam.beta_2, adam.weight_decay) == (0.9, 0.999, None)
    sgd = build_optimizer(OptimizerConfig(name="sgd", weight_decay=1e-3), Halving(), weights)
    assert (type(sgd), sgd.l2, sgd.momentum, sgd.weight_decay) == (SGD, 1e-3, 0.9, None)
    lamb = build_optimizer(OptimizerConfig(name="lamb", weight_decay=1e-2), Halving(), weights)
    assert (type(lamb), lamb.decay, lamb.epsilon, lamb.weight_decay) == (LAMB, 1e-2, 1e-6, None)


def test_lamb_moves_each_layer_by_its_own_norm():
    """Whatever the size of the gradient, the first step is the norm of the weights, scaled."""
    for size in (1e-3, 1e3):
        weights = tf.Variable([3.0, 4.0])
        lamb = build_optimizer(OptimizerConfig(name="lamb"), 0.1, [weights])
        lamb.apply_gradients([(size * tf.constant([1.0, -1.0]), weights)])
        step = 0.1 * 5 * np.float32([1, -1]) / np.sqrt(2)
        np.testing.assert_allclose(weights, [3, 4] - step, rtol=1e-3)
