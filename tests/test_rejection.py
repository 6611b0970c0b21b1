"""The benchmark of rejection: its scores, and a run on made classes."""

from __future__ import annotations

import numpy as np
import pytest
import rejection


def test_the_shared_covariance_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    examples = [rng.normal(size=(count, 6)) for count in (3, 5, 4)]
    queries = rng.normal(size=(7, 6))
    rows = np.concatenate([rows - rows.mean(axis=0) for rows in examples])
    covariance = rows.T @ rows / (len(rows) - 3)
    shrunk = rejection.SHRINKAGE * np.trace(covariance) / 6 * np.eye(6)
    inverse = np.linalg.inv((1 - rejection.SHRINKAGE) * covariance + shrunk)
    expected = [
        [(query - mean) @ inverse @ (query - mean) for mean in rejection.means(examples)]
        for query in queries
    ]
    np.testing.assert_allclose(rejection.shared_covariance(examples, queries), expected)


def test_far_classes_are_told_apart_and_equal_ones_are_not():
    pytest.importorskip("s2bnn_runtime")
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 40)
    centers = np.eye(6, 32)
    near = centers[labels] + rng.normal(0, 0.05, (240, 32))
    found = rejection.measure(near, labels, 5, 4)
    assert all(found[name]["auroc"] > 0.99 for name in rejection.SCORES)
    assert all(found[name]["accuracy"] == 1 for name in rejection.SCORES)
    assert found["classify"]["false_acceptances"] < 0.02
    noise = rng.normal(size=(240, 32))
    found = rejection.measure(noise, labels, 5, 4)
    assert all(0.4 < found[name]["auroc"] < 0.6 for name in rejection.SCORES)
    table = rejection.make_table({5: found})
    assert table.count("\n|") == 6 and "| cosine to the mean | 5" in table
