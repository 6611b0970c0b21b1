"""kNN against a slow loop that can be read in one breath."""

from __future__ import annotations

import math

import numpy as np
import pytest

from s2bnn_tf.evaluation import knn, knn_accuracy, nearest_neighbors


def slow_knn(train, train_labels, test, test_labels, k, temperature):
    top1 = top5 = 0
    classes = max(*train_labels, *test_labels) + 1
    for query, label in zip(test, test_labels, strict=True):
        cosines = []
        for i, key in enumerate(train):
            cosine = float(query @ key) / float(np.linalg.norm(query) * np.linalg.norm(key))
            cosines.append((-cosine, i))
        votes = [0.0] * classes
        for negative, i in sorted(cosines)[:k]:
            votes[train_labels[i]] += math.exp(-negative / temperature)
        ranking = sorted(range(classes), key=lambda c: (-votes[c], c))
        top1 += ranking[0] == label
        top5 += label in ranking[:5]
    return top1 / len(test), top5 / len(test)


@pytest.mark.parametrize(
    ("n_train", "n_test", "dim", "classes", "k", "temperature"),
    [
        (60, 40, 8, 10, 20, 0.07),
        (61, 7, 3, 12, 1, 0.07),
        (33, 29, 16, 7, 5, 1.0),
        (50, 20, 2, 6, 50, 0.2),
        (12, 30, 4, 3, 20, 0.07),  # k larger than the bank, three classes
        (1, 5, 4, 2, 20, 0.07),
    ],
)
def test_agrees_with_a_slow_loop(n_train, n_test, dim, classes, k, temperature):
    generator = np.random.default_rng(n_train)
    train = generator.normal(size=(n_train, dim)).astype(np.float32)
    test = generator.normal(size=(n_test, dim)).astype(np.float32)
    train_labels = generator.integers(0, classes, n_train)
    test_labels = generator.integers(0, classes, n_test)
    result = knn_accuracy(train, train_labels, test, test_labels, k=k, temperature=temperature)
    top1, top5 = slow_knn(train, train_labels, test, test_labels, k, temperature)
    assert (result["top1"], result["top5"]) == pytest.approx((top1, top5), abs=1e-12)
    assert result["k"] == min(k, n_train)
    assert (result["n_train"], result["n_test"]) == (n_train, n_test)


def test_chunks_do_not_change_the_neighbors(monkeypatch):
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(40, 6)), generator.normal(size=(23, 6))
    whole = nearest_neighbors(train, test, 5)
    monkeypatch.setattr(knn, "CHUNK_BYTES", 4 * 40 * 3)  # three queries at a time
    chunked = nearest_neighbors(train, test, 5)
    np.testing.assert_array_equal(whole[1], chunked[1])
    np.testing.assert_allclose(whole[0], chunked[0], rtol=1e-5)


def test_only_directions_count():
    generator = np.random.default_rng(1)
    train, test = generator.normal(size=(30, 5)), generator.normal(size=(9, 5))
    scale = np.array(generator.uniform(0.1, 50, size=(30, 1)))
    first, second = nearest_neighbors(train, test, 4), nearest_neighbors(train * scale, test, 4)
    np.testing.assert_array_equal(first[1], second[1])


def test_close_neighbors_outvote_many_distant_ones():
    train = np.array([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8], [0.6, 0.8]])
    labels = np.array([0, 1, 1, 1])
    query, answer = np.array([[1.0, 0.0]]), np.array([0])
    assert knn_accuracy(train, labels, query, answer)["top1"] == 1.0
    assert knn_accuracy(train, labels, query, answer, temperature=10.0)["top1"] == 0.0


def test_a_zero_feature_is_not_a_division_by_zero():
    similarities, _ = nearest_neighbors(np.eye(3), np.zeros((1, 3)), 2)
    np.testing.assert_array_equal(similarities, np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("train", "train_labels", "test", "test_labels", "message"),
    [
        (np.ones((3, 2)), [0, 1, 0], np.ones((2, 3)), [0, 1], "expected"),
        (np.ones((3, 2)), [0, 1], np.ones((2, 2)), [0, 1], "differ in number"),
        (np.ones((3, 2)), [0, -1, 0], np.ones((2, 2)), [0, 1], "label of 0 or more"),
        (np.ones((3, 2)), [0, 1, 0], np.ones((0, 2)), [], "test set"),
    ],
)
def test_refuses_what_cannot_be_right(train, train_labels, test, test_labels, message):
    with pytest.raises(ValueError, match=message):
        knn_accuracy(train, train_labels, test, test_labels)
