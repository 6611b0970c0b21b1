"""Both losses against slow NumPy loops, their gradients, and extreme temperatures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.objectives import distillation_loss, info_nce_loss


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


def slow_distillation(query, target, temperature) -> float:
    total = 0.0
    for q_row, p_row in zip(query, target, strict=True):
        q, p = (slow_distribution(row, temperature) for row in (q_row, p_row))
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
    ):
        assert np.isfinite(loss(query))
        assert np.all(np.isfinite(gradients(loss, query)[0]))


def test_hot_limits():
    """At an infinite temperature every choice is as likely as any other."""
    query, key, queue = unit_rows(4, 8, 0), unit_rows(4, 8, 1), unit_rows(10, 8, 2)
    np.testing.assert_allclose(info_nce_loss(query, key, queue, 1e6), math.log(11), rtol=1e-4)
    np.testing.assert_allclose(distillation_loss(query, key, 1e6), math.log(8), rtol=1e-4)
