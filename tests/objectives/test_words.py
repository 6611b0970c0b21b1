"""The divergence over words against slow NumPy loops, and its gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.objectives import WordAxes, words_loss
from tests.objectives.test_losses import unit_rows


def slow_words(query, target, words: WordAxes) -> float:
    total = 0.0
    for q_row, t_row in zip(query.astype(np.float64), target.astype(np.float64), strict=True):
        b = [words.scale * float(q_row @ word) + words.bias for word in words.rows]
        a = [words.scale * float(t_row @ word) + words.bias for word in words.rows]
        if words.bias == 0:
            p, q = ([math.exp(x) / sum(map(math.exp, row)) for x in row] for row in (a, b))
            total += sum(p_k * math.log(p_k / q_k) for p_k, q_k in zip(p, q, strict=True))
            continue
        for a_k, b_k in zip(a, b, strict=True):
            p, q = 1 / (1 + math.exp(-a_k)), 1 / (1 + math.exp(-b_k))
            total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    return total / len(query)


@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (30.0, 0.0), (10.0, -4.0), (2.0, 1.0)])
@pytest.mark.parametrize(("batch", "dim", "count"), [(1, 2, 1), (5, 16, 7), (16, 64, 100)])
def test_words(batch, dim, count, scale, bias):
    query, target = unit_rows(batch, dim, 0), unit_rows(batch, dim, 1)
    words = WordAxes(unit_rows(count, dim, 2), scale, bias)
    loss = words_loss(query, target, words)
    assert loss.shape == () and loss.dtype == tf.float32
    np.testing.assert_allclose(loss, slow_words(query, target, words), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bias", [0.0, -12.9])
def test_it_is_zero_for_the_teacher_itself_and_finite_at_the_scale_of_clip(bias):
    target = unit_rows(4, 8, 0)
    words = WordAxes(unit_rows(20, 8, 1), 117.0, bias)
    np.testing.assert_allclose(words_loss(target, target, words), 0, atol=1e-5)
    for query in (-target, target.astype(np.float16)):
        assert np.isfinite(words_loss(query, target, words))


@pytest.mark.parametrize("bias", [0.0, -3.0])
def test_the_gradient_is_that_of_finite_differences_and_spares_the_target(bias):
    query, target = (tf.constant(unit_rows(3, 5, n), tf.float64) for n in (0, 1))
    words = WordAxes(unit_rows(6, 5, 2), 7.0, bias)
    with tf.GradientTape() as tape:
        tape.watch([query, target])
        loss = words_loss(query, target, words)
    slope, none = tape.gradient(loss, [query, target])
    assert none is None
    step = 1e-6
    for place in ((0, 0), (1, 3), (2, 4)):
        moved = query.numpy()
        moved[place] += step
        found = (slow_words(moved, target.numpy(), words) - float(loss)) / step
        assert float(slope[place]) == pytest.approx(found, rel=1e-3, abs=1e-6)


def test_other_dimensions_are_refused():
    words = WordAxes(unit_rows(6, 4, 2), 1.0, 0.0)
    with pytest.raises(ValueError, match="dimension"):
        words_loss(unit_rows(3, 5, 0), unit_rows(3, 5, 1), words)
