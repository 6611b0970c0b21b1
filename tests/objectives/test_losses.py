"""The losses against slow NumPy loops, their gradients, and extreme temperatures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.objectives import (
    distillation_loss,
    info_nce_loss,
    regression_loss,
    similarity_loss,
)

pytestmark = pytest.mark.both_sets


def unit_rows(count: int, dim: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def slow_info_nce(query, key, queue, temperature) -> float:
    query, key, queue = (array.astype(np.float64) for array in (query, key, queue))
    total = 0.0
    for q, k in zip(query, key, strict=True):
        positive = math.exp(q @ k / temperature)
        negatives = sum(math.exp(q @ n / temperature) for n in queue)
        total -= math.log(positive / (positive + negatives))
    return total / len(query)


def slow_distribution(row, temperature) -> list[float]:
    powers = [math.exp(float(value) / temperature) for value in row]
    return [power / sum(powers) for power in powers]


def slow_distillation(query, target, temperature, teacher_temperature=None) -> float:
    total = 0.0
    for q_row, p_row in zip(query, target, strict=True):
        q = slow_distribution(q_row, temperature)
        p = slow_distribution(p_row, teacher_temperature or temperature)
        total -= sum(p_d * math.log(q_d) for p_d, q_d in zip(p, q, strict=True))
    return total / len(query)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize("queue_size", [1, 7, 64])
@pytest.mark.parametrize(("batch", "dim"), [(1, 2), (5, 16), (16, 128)])
def test_info_nce(batch, dim, queue_size, temperature):
    query, key, queue = (
        unit_rows(n, dim, seed) for seed, n in enumerate((batch, batch, queue_size))
    )
    expected = slow_info_nce(query, key, queue, temperature)
    loss = info_nce_loss(query, key, queue, temperature)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize(("batch", "dim"), [(1, 2), (5, 16), (16, 128)])
def test_distillation(batch, dim, temperature):
    query, target = unit_rows(batch, dim, 0), unit_rows(batch, dim, 1)
    loss = distillation_loss(query, target, temperature)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, slow_distillation(query, target, temperature), rtol=1e-5)


@pytest.mark.parametrize("teacher_temperature", [None, 0.05, 0.5])
@pytest.mark.parametrize("queue_size", [1, 7, 64])
def test_similarity(queue_size, teacher_temperature):
    """The distillation of similarities to the target itself and to the queue."""
    query, target, queue = (unit_rows(n, 16, seed) for seed, n in enumerate((5, 5, queue_size)))
    q_rows, p_rows = (
        [[row @ key for key in (own, *queue)] for row, own in zip(rows, target, strict=True)]
        for rows in (query, target)
    )
    expected = slow_distillation(q_rows, p_rows, 0.2, teacher_temperature)
    loss = similarity_loss(query, target, queue, 0.2, teacher_temperature)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_regression():
    query, target = unit_rows(5, 16, 0), unit_rows(5, 16, 1)
    expected = np.mean([sum((q - t) ** 2) for q, t in zip(query, target, strict=True)])
    np.testing.assert_allclose(regression_loss(query, target), expected, rtol=1e-6)
    np.testing.assert_allclose(regression_loss(target, target), 0.0)
    np.testing.assert_allclose(regression_loss(-target, target), 4.0, rtol=1e-6)


def test_a_sharper_teacher():
    query, target = unit_rows(5, 16, 0), unit_rows(5, 16, 1)
    loss = distillation_loss(query, target, 0.2, 0.05)
    np.testing.assert_allclose(loss, slow_distillation(query, target, 0.2, 0.05), rtol=1e-5)
    assert loss != distillation_loss(query, target, 0.2)


def test_info_nce_of_keys_that_cannot_be_told_apart_is_the_log_of_their_number():
    same = np.repeat(unit_rows(1, 8, 0), 32, axis=0)
    np.testing.assert_allclose(
        info_nce_loss(same[:4], same[:4], same[:31], 0.2), math.log(32), rtol=1e-5
    )


def test_distillation_is_least_where_query_and_target_agree():
    target = unit_rows(8, 16, 0)
    least = distillation_loss(target, target, 0.2)
    entropy = np.mean(
        [-sum(p * math.log(p) for p in slow_distribution(row, 0.2)) for row in target]
    )
    np.testing.assert_allclose(least, entropy, rtol=1e-5)
    for seed in range(1, 5):
        assert distillation_loss(unit_rows(8, 16, seed), target, 0.2) > least


def gradients(loss, *arguments):
    arguments = [tf.constant(argument) for argument in arguments]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        value = loss(*arguments)
    return tape.gradient(value, arguments)


def test_info_nce_moves_the_query_only():
    query, key, queue = unit_rows(4, 8, 0), unit_rows(4, 8, 1), unit_rows(10, 8, 2)
    to_query, to_key, to_queue = gradients(
        lambda q, k, n: info_nce_loss(q, k, n, 0.2), query, key, queue
    )
    assert (to_key, to_queue) == (None, None)
    expected = np.zeros_like(query)
    for i, (q, k) in enumerate(zip(query, key, strict=True)):
        keys = np.vstack([k, queue])
        shares = np.exp(keys @ q / 0.2)
        shares /= shares.sum()
        expected[i] = (shares @ keys - k) / 0.2 / len(query)
    np.testing.assert_allclose(to_query, expected, atol=1e-5)


def test_similarity_and_regression_move_the_query_only():
    query, target, queue = unit_rows(4, 8, 0), unit_rows(4, 8, 1), unit_rows(10, 8, 2)
    losses = {
        "similarity": lambda q, t, k: similarity_loss(q, t, k, 0.2, 0.1),
        "regression": lambda q, t, k: regression_loss(q, t),
    }
    found = {name: gradients(loss, query, target, queue) for name, loss in losses.items()}
    assert all(rest == [None, None] for _, *rest in found.values())
    np.testing.assert_allclose(found["regression"][0], (query - target) * 2 / 4, atol=1e-6)
    expected = np.zeros_like(query)
    for i, (q, t) in enumerate(zip(query, target, strict=True)):
        keys = np.vstack([t, queue])
        q_shares, t_shares = slow_distribution(keys @ q, 0.2), slow_distribution(keys @ t, 0.1)
        expected[i] = (np.array(q_shares) - t_shares) @ keys / 0.2 / len(query)
    np.testing.assert_allclose(found["similarity"][0], expected, atol=1e-5)


def test_distillation_has_the_gradient_of_the_kl_divergence_and_leaves_the_target_alone():
    query, target = unit_rows(4, 8, 0), unit_rows(4, 8, 1)
    to_query, to_target = gradients(lambda q, t: distillation_loss(q, t, 0.2), query, target)
    assert to_target is None

    def divergence(query):
        p, q = tf.nn.softmax(target / 0.2), tf.nn.softmax(query / 0.2)
        return tf.reduce_mean(tf.reduce_sum(p * (tf.math.log(p) - tf.math.log(q)), axis=-1))

    np.testing.assert_allclose(to_query, gradients(divergence, query)[0], atol=1e-6)
    shares = [np.array([slow_distribution(row, 0.2) for row in rows]) for rows in (query, target)]
    np.testing.assert_allclose(to_query, (shares[0] - shares[1]) / 0.2 / 4, atol=1e-6)


@pytest.mark.parametrize("temperature", [1e-4, 1e-2, 1e4])
def test_extreme_temperatures_stay_finite(temperature):
    query, key, queue = unit_rows(4, 8, 0), unit_rows(4, 8, 1), unit_rows(10, 8, 2)
    for loss in (
        lambda q: info_nce_loss(q, key, queue, temperature),
        lambda q: distillation_loss(q, key, temperature),
        lambda q: similarity_loss(q, key, queue, temperature),
    ):
        assert np.isfinite(loss(query))
        assert np.all(np.isfinite(gradients(loss, query)[0]))


def test_hot_limits():
    """At an infinite temperature, all choices are equally likely."""
    query, key, queue = unit_rows(4, 8, 0), unit_rows(4, 8, 1), unit_rows(10, 8, 2)
    np.testing.assert_allclose(info_nce_loss(query, key, queue, 1e6), math.log(11), rtol=1e-4)
    np.testing.assert_allclose(distillation_loss(query, key, 1e6), math.log(8), rtol=1e-4)


def test_info_nce_never_moves_a_queue_that_is_a_variable():
    query, queue = tf.constant(unit_rows(4, 8, 0)), tf.Variable(unit_rows(10, 8, 2))
    with tf.GradientTape() as tape:
        loss = info_nce_loss(query, query, queue, 0.2)
    assert tape.gradient(loss, queue) is None


# Each takes a query, a target, keys and a temperature.
LOSSES = {
    "info_nce": info_nce_loss,
    "distillation": lambda q, t, k, temperature: distillation_loss(q, t, temperature),
    "teacher's temperature": lambda q, t, k, temperature: distillation_loss(q, t, 0.2, temperature),
    "similarity": similarity_loss,
    "regression": lambda q, t, k, temperature: regression_loss(q, t),
}
WITH_TEMPERATURE = [name for name in LOSSES if name != "regression"]


@pytest.mark.parametrize("temperature", [0, 0.0, -0.2, math.nan, math.inf])
@pytest.mark.parametrize("name", WITH_TEMPERATURE)
def test_a_temperature_is_above_zero(name, temperature):
    rows = unit_rows(4, 8, 0)
    with pytest.raises(ValueError, match="A temperature is a number above 0, not"):
        LOSSES[name](rows, rows, rows, temperature)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize(
    ("query", "target", "message"),
    [
        ((4, 8), (1, 8), "belong together one by one"),
        ((1, 8), (4, 8), "belong together one by one"),
        ((4, 8), (4, 1), "belong together one by one"),
        ((4, 8), (8,), r"target must have the shape \(rows, D\)"),
        ((8,), (4, 8), r"query must have the shape \(rows, D\)"),
        ((4, 8, 1), (4, 8, 1), r"query must have the shape \(rows, D\)"),
        ((0, 8), (0, 8), "The batch is empty"),
    ],
)
@pytest.mark.parametrize("name", LOSSES)
def test_batches_do_not_broadcast_and_are_not_empty(name, query, target, message, compiled):
    loss = tf.function(LOSSES[name]) if compiled else LOSSES[name]
    with pytest.raises(ValueError, match=message):
        loss(tf.ones(query), tf.ones(target), tf.ones((5, 8)), 0.2)


@pytest.mark.parametrize(
    ("query", "target"), [((4, 8), (1, 8)), ((1, 8), (4, 8)), ((0, 8), (0, 8)), ((8,), (4, 8))]
)
@pytest.mark.parametrize("name", LOSSES)
def test_batches_whose_size_is_not_known_before_the_graph_runs(name, query, target):
    rows = tf.TensorSpec(None)
    loss = tf.function(
        lambda q, t: LOSSES[name](q, t, tf.ones((5, 8)), 0.2), input_signature=[rows, rows]
    )
    assert np.isfinite(loss(tf.ones((4, 8)), tf.ones((4, 8))))
    with pytest.raises(tf.errors.InvalidArgumentError):
        loss(tf.ones(query), tf.ones(target))


@pytest.mark.parametrize("name", ["info_nce", "similarity"])
def test_keys_of_another_dimension(name):
    rows = unit_rows(4, 8, 0)
    with pytest.raises(ValueError, match="dimension 8 cannot be compared with keys of dimension 9"):
        LOSSES[name](rows, rows, unit_rows(5, 9, 1), 0.2)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_full(name, dtype):
    """The query of a student in half precision, with a target and a queue that are float32."""
    query, target, keys = unit_rows(4, 8, 0), unit_rows(4, 8, 1), unit_rows(5, 8, 2)
    half = tf.cast(query, dtype)
    with tf.GradientTape() as tape:
        tape.watch(half)
        loss = LOSSES[name](half, target, keys, 0.2)
    assert loss.dtype == tf.float32
    expected = LOSSES[name](tf.cast(half, tf.float32), target, keys, 0.2)
    np.testing.assert_array_equal(loss, expected)
    assert tape.gradient(loss, half).dtype == dtype


def test_integers_are_no_embeddings():
    rows = tf.ones((4, 8), tf.int32)
    with pytest.raises(ValueError, match="query must hold floating-point numbers, not int32"):
        regression_loss(rows, rows)
