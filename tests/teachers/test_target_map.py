"""The fixed map of a teacher's output: centered, reduced, normalized."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.teachers import fit_target_map, with_map

keras = tf.keras


@pytest.fixture
def outputs() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(50, 12)) @ rng.normal(size=(12, 12)) + 7).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_centering_alone_keeps_the_dimensions(outputs):
    expected = unit(outputs - outputs.mean(axis=0))
    np.testing.assert_allclose(fit_target_map(outputs).apply(outputs), expected, atol=1e-5)
    np.testing.assert_allclose(fit_target_map(outputs, 12).apply(outputs), expected, atol=1e-5)


def test_the_reduction_is_that_of_a_principal_component_analysis(outputs):
    found = fit_target_map(outputs, 5).apply(outputs)
    expected = PCA(5).fit_transform(outputs.astype(np.float64))
    signs = np.sign((found * unit(expected)).sum(axis=0))  # which scikit-learn chooses otherwise
    np.testing.assert_allclose(found * signs, unit(expected), atol=1e-4)
    doubled = np.concatenate([outputs[::-1]] * 2)
    np.testing.assert_allclose(fit_target_map(doubled, 5).apply(outputs), found, atol=1e-4)


@pytest.mark.parametrize("headed", [False, True])
def test_a_mapped_teacher_gives_the_mapped_outputs(outputs, headed):
    image = keras.Input((12,))
    backbone = keras.Model(image, keras.layers.Dense(12, activation="relu")(image))
    head = keras.Sequential([keras.Input((12,)), keras.layers.Dense(9)]) if headed else None
    below = backbone(outputs).numpy()
    raw = head(below).numpy() if head is not None else below
    target_map = fit_target_map(raw, 4)
    teacher = with_map(Encoder(backbone, head), target_map)
    np.testing.assert_allclose(teacher(outputs), target_map.apply(raw), atol=1e-4)
    assert (teacher.embedding_dim, teacher.trainable_variables) == (4, [])


def test_standardized_outputs_have_one_variance(outputs):
    outputs = outputs * np.geomspace(0.01, 100, 12, dtype=np.float32)
    found = fit_target_map(outputs, normalize="standardize").apply(outputs)
    columns = outputs.astype(np.float64).T
    expected = np.stack([(column - np.mean(column)) / np.std(column) for column in columns])
    np.testing.assert_allclose(found, unit(expected.T), atol=1e-4)


@pytest.mark.parametrize("dimensions", [2, 8])
def test_phi_s_gives_all_dimensions_the_same_variance_and_keeps_distances(outputs, dimensions):
    reduced = fit_target_map(outputs, dimensions)
    target_map = fit_target_map(outputs, dimensions, "phi_s")
    before, after = ((outputs - m.mean) @ m.components for m in (reduced, target_map))
    np.testing.assert_allclose(after.var(axis=0), 1, rtol=1e-3)
    scale = np.sqrt((before**2).sum(axis=1).mean() / dimensions)  # one for all
    for first, second in ((0, 1), (7, 30)):
        distances = [np.linalg.norm(rows[first] - rows[second]) for rows in (before, after)]
        assert distances[1] == pytest.approx(distances[0] / scale, rel=1e-3)
    assert np.abs(after.mean(axis=0)).max() < 1e-3


def test_a_constant_dimension_stays_zero(outputs):
    outputs[:, 3] = 5
    for normalize in ("standardize", "none"):
        found = fit_target_map(outputs, normalize=normalize).apply(outputs)
        assert np.isfinite(found).all() and np.abs(found[:, 3]).max() < 1e-3


def test_phi_s_needs_a_power_of_two(outputs):
    with pytest.raises(ConfigError, match="power of two, not 12; set teacher.reduce_to=8"):
        fit_target_map(outputs, normalize="phi_s")
