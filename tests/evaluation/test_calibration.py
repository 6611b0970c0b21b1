"""Distributions against SciPy and values worked out by hand; a run against itself."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig, TeacherConfig
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation import evaluate_calibration, evaluate_linear
from s2bnn_tf.evaluation.calibration import (
    coordinate_distribution,
    entropy,
    kl_divergence,
    rank_agreement,
    reliability,
)
from s2bnn_tf.objectives import distillation_loss
from s2bnn_tf.report import draw_calibration
from s2bnn_tf.runs import RunDirectory, build_encoder, save_encoder

FEATURES = 24  # of the tiny network


def unit(seed, count=6, dim=16):
    x = np.random.default_rng(seed).normal(size=(count, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.01, 0.2, 3.0])
def test_against_scipy(temperature):
    a, b = unit(0), unit(1)
    p, q = coordinate_distribution(a, temperature), coordinate_distribution(b, temperature)
    np.testing.assert_allclose(p, scipy.special.softmax(a / temperature, axis=1))
    np.testing.assert_allclose(entropy(p), scipy.stats.entropy(p, axis=1), atol=1e-12)
    np.testing.assert_allclose(kl_divergence(p, q), scipy.stats.entropy(p, q, axis=1), atol=1e-12)
    expected = [scipy.stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_agreement(a, b), expected)


def test_the_loss_is_the_divergence_plus_the_entropy_of_the_teacher():
    student, teacher = unit(0), unit(1)
    p, q = (coordinate_distribution(x, 0.2) for x in (teacher, student))
    loss = distillation_loss(tf.constant(student), tf.constant(teacher), 0.2).numpy()
    assert loss == pytest.approx(np.mean(kl_divergence(p, q) + entropy(p)))


def test_extremes():
    uniform, certain = np.full((1, 8), 1 / 8), np.eye(8)[:1]
    assert entropy(uniform)[0] == pytest.approx(np.log(8))
    assert entropy(certain)[0] == 0
    assert kl_divergence(certain, uniform)[0] == pytest.approx(np.log(8))
    assert np.isnan(rank_agreement(uniform, certain)[0])


def test_reliability_by_hand():
    """Four answers of confidence 0.9, three of them right; one of 0.6, right."""
    logits = np.log([[0.9, 0.1]] * 4 + [[0.4, 0.6]])
    found = reliability(logits, np.array([0, 0, 0, 1, 1]), bins=10)
    full = [row for row in found["bins"] if row["count"]]
    assert [(row["count"], row["accuracy"]) for row in full] == [(1, 1.0), (4, 0.75)]
    assert [row["confidence"] for row in full] == pytest.approx([0.6, 0.9])
    assert found["expected_calibration_error"] == pytest.approx((0.4 + 4 * 0.15) / 5)
    assert len(found["bins"]) == 10


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_backbone):
    """Untrained networks on digits: students, and the teacher that their recipes name."""
    path = tmp_path_factory.mktemp("runs")
    embedding, features = (
        TeacherConfig(weights=str(path / "teacher"), output=output)
        for output in ("embedding", "features")
    )
    one, two = (
        ObjectiveConfig(temperature=0.1),
        ObjectiveConfig(temperature=0.1, teacher_temperature=0.05),
    )
    recipes = {
        "teacher": (12, embedding, one),
        "student": (12, embedding, one),
        "two_temperatures": (12, embedding, two),
        "features": (FEATURES, features, one),
    }
    for seed, (name, (dim, teacher, objective)) in enumerate(recipes.items()):
        tf.keras.utils.set_random_seed(seed)
        config = Config(
            data=DataConfig(source="digits", image_size=8, center_crop=1.0),
            student=StudentConfig(backbone="tiny_real", embedding_dim=dim),
            teacher=teacher,
            objective=objective,
        )
        run = RunDirectory(path / name)
        run.create(config)
        save_encoder(build_encoder(config), run)
    return path


def test_a_network_agrees_with_itself(runs):
    result = evaluate_calibration(runs / "teacher", views=64)
    assert result["kl_mean"] == pytest.approx(0, abs=1e-5)
    assert result["rank_agreement_mean"] == pytest.approx(1, abs=1e-3)
    assert result["same_largest_coordinate"] == 1
    assert result["cosine_mean"] == pytest.approx(1, abs=1e-5)
    assert result["student"]["entropy_mean"] == pytest.approx(
        result["teacher"]["entropy_mean"], abs=1e-4
    )


def test_a_student_and_its_teacher(runs):
    evaluate_linear(runs / "student")
    result = evaluate_calibration(runs / "student", views=200, draw=draw_calibration)
    directory = runs / "student" / "eval"
    assert json.loads((directory / "calibration.json").read_text()) == result
    assert result["temperature"] == 0.1, "the recipe's"
    assert result["views"] == 128, "whole batches"
    assert result["kl_mean"] > 0.01
    assert result["rank_agreement_mean"] < 0.9
    for side in ("student", "teacher"):
        shape = result[side]["mean_sorted_distribution"]
        assert len(shape) == 12
        assert shape == sorted(shape, reverse=True)
        assert sum(shape) == pytest.approx(1)
        assert sum(result[side]["entropy_histogram"]["counts"]) == 128
        assert 0 < result[side]["entropy_mean"] < result["uniform_entropy"] == np.log(12)
    assert 0 <= result["reliability"]["expected_calibration_error"] <= 1
    for name in ("distribution", "entropy", "reliability"):
        svg = directory / f"calibration_{name}.svg"
        assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    sharper = evaluate_calibration(runs / "student", views=64, temperature=0.02)
    assert sharper["student"]["entropy_mean"] < result["student"]["entropy_mean"]
    assert sharper["temperature"] == 0.02


def test_another_teacher_and_none_that_fits(runs):
    own = evaluate_calibration(runs / "student", teacher=runs / "student", views=64)
    assert own["rank_agreement_mean"] == pytest.approx(1, abs=1e-3)
    with pytest.raises(UserError, match=r"neither a run directory nor a \.keras"):
        evaluate_calibration(runs / "student", teacher=runs / "nobody")


def test_reduced_targets_cannot_be_compared(runs, tmp_path):
    config = RunDirectory(runs / "student").config
    reduced = replace(config.teacher, reduce_to=6)
    run = RunDirectory(tmp_path / "reduced")
    run.create(replace(config, teacher=reduced, student=replace(config.student, embedding_dim=6)))
    save_encoder(build_encoder(run.config), run)
    for teacher in (None, runs / "teacher"):
        with pytest.raises(UserError, match=r"reduced to 6 of 12 dim.*teacher\.reduce_to=null"):
            evaluate_calibration(run.path, teacher=teacher, views=64)


def test_each_network_has_the_temperature_it_was_trained_with(runs):
    run = runs / "two_temperatures"
    own = evaluate_calibration(run, views=64)
    same = evaluate_calibration(run, views=64, temperature=0.1)
    assert (own["temperature"], own["teacher_temperature"]) == (0.1, 0.05)
    assert (same["temperature"], same["teacher_temperature"]) == (0.1, 0.1)
    assert own["student"]["entropy_mean"] == same["student"]["entropy_mean"]
    assert own["teacher"]["entropy_mean"] < same["teacher"]["entropy_mean"]
    assert own["kl_of_uniform_mean"] == pytest.approx(np.log(12) - own["teacher"]["entropy_mean"])


def test_another_teacher_gives_what_the_recipe_asks_for(runs):
    """Features, where the student was trained to match features."""
    result = evaluate_calibration(runs / "features", teacher=runs / "teacher", views=64)
    assert result["dimensions"] == FEATURES
    assert result["kl_mean"] == evaluate_calibration(runs / "features", views=64)["kl_mean"]
