"""The fixed map of a teacher's output: centered, and reduced to its main directions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA

from s2bnn_tf.backbones import Encoder
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
