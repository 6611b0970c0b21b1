"""The fast probe: folding changes nothing, classes keep their places, files keep everything."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation import fit_linear_probe
from s2bnn_tf.evaluation.linear_lbfgs import REGULARIZATION


def uneven(features):
    """Give every feature another mean and scale, so that a wrong fold shows."""
    dim = features.shape[1]
    return (features * np.geomspace(0.01, 30, dim) + np.linspace(-5, 9, dim)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_folded_is_unfolded(classes, blobs):
    train, train_labels = blobs(300, 12, classes, seed=0, spread=2.0)
    test, test_labels = blobs(100, 12, classes, seed=1, spread=2.0)
    train, test = uneven(train), uneven(test)
    names = [f"class {i}" for i in range(classes)]
    probe = fit_linear_probe(train, train_labels, test, test_labels, class_names=names)

    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=probe.parameters["C"], max_iter=1000)
    model.fit(scaler.transform(train), train_labels)
    expected = model.predict_proba(scaler.transform(test))
    logits = probe.logits(test).astype(np.float64)
    softmax = np.exp(logits - logits.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    np.testing.assert_allclose(softmax, expected, atol=5e-3)
    assert probe.metrics["top1"] == np.mean(probe.logits(test).argmax(1) == test_labels)
    assert probe.kernel.shape == (12, classes)
    assert probe.kernel.dtype == probe.bias.dtype == np.float32


def test_says_how_it_was_fitted(blobs):
    train, test = blobs(200, 5, 4, seed=0), blobs(40, 5, 4, seed=1)
    probe = fit_linear_probe(*train, *test, class_names="abcd")
    assert probe.parameters["C"] in REGULARIZATION
    assert probe.parameters["converged"] is True
    assert probe.metrics["n_train"] == 200
    assert probe.metrics["n_test"] == 40
    assert probe.metrics["top1"] > 0.9


def test_too_few_images_to_choose_the_regularization_are_no_choice(blobs):
    """A tenth of 30 images cannot hold one of each of four classes."""
    train, test = blobs(30, 5, 4, seed=0), blobs(40, 5, 4, seed=1)
    probe = fit_linear_probe(*train, *test, class_names="abcd")
    assert (probe.parameters["C"], probe.parameters["C_chosen_on"]) == (0.1, None)
    chosen = fit_linear_probe(*blobs(200, 5, 4, seed=0), *test, class_names="abcd")
    assert chosen.parameters["C_chosen_on"] == "10% of the training split"


def test_the_test_split_decides_nothing(blobs):
    train, test = blobs(200, 5, 4, seed=0, spread=3.0), blobs(40, 5, 4, seed=1)
    names = "abcd"
    first = fit_linear_probe(*train, *test, class_names=names)
    second = fit_linear_probe(*train, test[0], np.zeros_like(test[1]), class_names=names)
    np.testing.assert_array_equal(first.kernel, second.kernel)
    assert first.parameters == second.parameters


def test_a_class_without_training_images_keeps_its_place_and_is_never_predicted(blobs):
    features, labels = blobs(120, 6, 4, seed=0, spread=0.3)
    seen = labels != 1
    probe = fit_linear_probe(
        features[seen], labels[seen], features, labels, class_names=["a", "b", "c", "d"]
    )
    predicted = probe.logits(features).argmax(1)
    assert probe.logits(features * 100)[:, 1].max() < -1000
    np.testing.assert_array_equal(predicted[seen], labels[seen])


def test_a_handful_of_images_is_enough(blobs):
    features, labels = blobs(4, 3, 2, seed=0, spread=0.1)
    probe = fit_linear_probe(features, labels, features, labels, class_names=["a", "b"])
    assert probe.metrics["top1"] == 1.0


def test_a_constant_feature_does_no_harm(blobs):
    features, labels = blobs(60, 4, 3, seed=0, spread=0.3)
    features[:, 2] = 7.0
    probe = fit_linear_probe(features, labels, features, labels, class_names="abc")
    assert np.isfinite(probe.kernel).all()
    assert probe.metrics["top1"] > 0.95


def test_features_wider_than_the_images_are_many_give_the_same_classifier(blobs):
    """Raw pixels: the classifier is that of scikit-learn on all 120 dimensions."""
    features, labels = blobs(45, 120, 3, seed=1, spread=2.0)
    test, test_labels = blobs(200, 120, 3, seed=2, spread=2.0)
    probe = fit_linear_probe(features, labels, test, test_labels, class_names="abc")
    assert probe.kernel.shape == (120, 3)
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=probe.parameters["C"], max_iter=1000, tol=1e-8)
    model.fit(scaler.transform(features), labels)
    expected = model.decision_function(scaler.transform(test))
    np.testing.assert_allclose(probe.logits(test), expected, atol=0.02 * np.abs(expected).max())


def test_one_class_is_refused():
    features = np.ones((5, 3), np.float32)
    with pytest.raises(UserError, match="two classes"):
        fit_linear_probe(features, np.zeros(5, int), features, np.zeros(5, int), class_names="a")
