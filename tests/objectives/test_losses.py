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
    to_query, to_key = gradients(lambda q, k: info_nce_loss(q, k, queue, 0.2), query, key)
    assert to_key is None
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
