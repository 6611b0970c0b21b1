"""The choice of the labels that are seen, and how uncertain it makes the accuracy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation.low_label import confidence_interval, draw_labeled, low_label_accuracy

LABELS = np.repeat([0, 1, 3], [200, 100, 40])


@pytest.mark.parametrize(
    ("amount", "counts"), [("10", [10, 10, 10]), ("10%", [20, 10, 4]), ("0.5%", [1, 1, 1])]
)
def test_every_class_has_its_share(amount, counts):
    rows = draw_labeled(LABELS, amount, seed=0)
    assert np.unique(LABELS[rows], return_counts=True)[1].tolist() == counts
    assert len(set(rows)) == len(rows)
    np.testing.assert_array_equal(rows, draw_labeled(LABELS, amount, seed=0))
    assert rows.tolist() != draw_labeled(LABELS, amount, seed=1).tolist()


def test_all_of_them():
    np.testing.assert_array_equal(draw_labeled(LABELS, "100%", seed=3), np.arange(340))


@pytest.mark.parametrize("amount", ["0", "-1", "1.5", "101%", "ten", "", "1 %%", "nan", "1e3"])
def test_what_is_no_amount(amount):
    with pytest.raises(UserError, match="images per class"):
        draw_labeled(LABELS, amount, seed=0)


def test_more_than_there_are():
    with pytest.raises(UserError, match="40 labeled images"):
        draw_labeled(LABELS, "41", seed=0)


def test_the_interval_is_students():
    values = [0.71, 0.74, 0.69, 0.75]
    expected = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    np.testing.assert_allclose(confidence_interval(values), expected)
    assert confidence_interval([0.5]) is None


@pytest.mark.parametrize("values", [[0.98, 1.0, 1.0], [0.0, 0.0, 0.05], [0.0, 1.0], [1.0, 1.0]])
def test_the_interval_is_of_shares(values):
    low, high = confidence_interval(values)
    assert 0 <= low <= np.mean(values) <= high <= 1
    mirrored = confidence_interval([1 - value for value in values])
    np.testing.assert_allclose(mirrored, [1 - high, 1 - low])


def test_probes_that_are_nearly_always_right_stay_within_100_percent(blobs):
    train, test = blobs(200, 10, 5, seed=0, spread=1.2), blobs(60, 10, 5, seed=1, spread=1.2)
    found = low_label_accuracy(*train, *test, amount="1", draws=3)
    accuracies = found["top1_of_draws"]
    mean, half = np.mean(accuracies), 4.303 * np.std(accuracies, ddof=1) / 3**0.5
    assert mean + half > 1, "an interval that is not cut off leaves it"
    assert found["confidence_interval"] == pytest.approx([mean - half, 1], abs=1e-3)


def test_more_labels_are_better_and_less_uncertain(blobs):
    train, test = blobs(2000, 10, 5, seed=0, spread=4.0), blobs(500, 10, 5, seed=1, spread=4.0)
    few = low_label_accuracy(*train, *test, amount="2", draws=5)
    many = low_label_accuracy(*train, *test, amount="50%", draws=5)
    assert (few["n_train"], many["n_train"]) == (10, 1000)
    assert few["top1"] < many["top1"]
    widths = [x["confidence_interval"][1] - x["confidence_interval"][0] for x in (few, many)]
    assert widths[1] < widths[0]
