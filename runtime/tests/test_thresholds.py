"""Thresholds at a stated rate of false alarms, from many scores and from few."""

from __future__ import annotations

import numpy as np
import pytest

from s2bnn_runtime import S2bnnError
from s2bnn_runtime.thresholds import choose_threshold, class_thresholds, student


def test_quantiles_of_students_distribution():
    for probability, freedom, wanted in [
        (0.99, 1, 31.82),
        (0.99, 3, 4.541),
        (0.95, 9, 1.833),
        (0.995, 30, 2.750),
        (0.5, 5, 0.0),
        (0.05, 9, -1.833),
    ]:
        assert student(probability, freedom) == pytest.approx(wanted, rel=2e-3, abs=1e-3)


def test_four_scores_do_not_flag_each_other():
    assert choose_threshold([1, 2, 3, 4], 0.01) > 4
    assert choose_threshold([1.0, 1.0, 1.0, 1.0], 0.01) == pytest.approx(1)
    assert np.isfinite(choose_threshold([0, 0, 0, 1e-30], 1e-9))


@pytest.mark.parametrize("count", [4, 10, 30, 100, 1500])
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_the_rate_is_kept(count, rate):
    rng = np.random.default_rng(count)
    alarms = []
    for _ in range(200):
        # Distances from a mean in 20 directions, as those of pictures are.
        known, fresh = (np.sqrt(rng.chisquare(20, n)) for n in (count, 400))
        alarms.append((fresh > choose_threshold(known, rate)).mean())
    assert np.mean(alarms) <= 1.5 * rate
    if count >= 100:
        assert np.mean(alarms) >= 0.3 * rate  # and not bought by calling nothing unusual
    if count >= 30:
        assert np.mean(np.array(alarms) > 3 * rate) < 0.05


def test_classes_share_a_spread_and_keep_their_means():
    rng = np.random.default_rng(0)
    rejected = {"a": [], "b": []}
    for _ in range(100):
        means = {"a": 1.0, "b": 5.0}
        scores = {name: mean * rng.lognormal(0, 0.3, 8) for name, mean in means.items()}
        found = class_thresholds({**scores, "one": np.zeros(0)}, 0.05)
        assert found["one"] == found["b"]  # nothing is known of it: the widest
        for name, mean in means.items():
            rejected[name].append(np.mean(mean * rng.lognormal(0, 0.3, 500) > found[name]))
    for name in rejected:
        assert 0.02 < np.mean(rejected[name]) < 0.08
    assert class_thresholds({"a": np.array([1.0, 2.0]), "b": np.zeros(0)}, 0.05) is None


def test_a_wide_class_is_no_looser_than_all_together():
    rng = np.random.default_rng(0)
    scores = {name: rng.lognormal(0, 0.5, 10) for name in "abcdefgh"}
    scores["wide"] = 20 * rng.lognormal(0, 0.5, 10)
    found = class_thresholds(scores, 0.05)
    together = choose_threshold(np.concatenate([*scores.values()]), 0.05)
    assert found["wide"] == together < 30  # 95 % of it are below 45
    assert all(found[name] < together for name in "abcdefgh")


@pytest.mark.parametrize("scores", [[], [1, 2, 3], [1, 2, 3, np.nan], [1, 2, np.inf, 3]])
def test_scores_that_say_nothing(scores):
    with pytest.raises(S2bnnError, match="at least 4 finite scores"):
        choose_threshold(scores, 0.01)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 2, np.nan])
def test_rates_that_are_none(rate):
    with pytest.raises(S2bnnError, match="above 0 and below 1"):
        choose_threshold([1, 2, 3, 4], rate)
