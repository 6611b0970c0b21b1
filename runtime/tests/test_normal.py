"""What is normal: both methods on made features, and files that are of another kind."""

from __future__ import annotations

import numpy as np
import pytest

from s2bnn_runtime import S2bnnError
from s2bnn_runtime.embedder import Seen
from s2bnn_runtime.gaussian import Gaussian
from s2bnn_runtime.normal import Normal, learn
from s2bnn_runtime.patch_memory import PatchMemory, cover, neighborhoods
from s2bnn_runtime.regions import Regions

SETTINGS = {"regions": Regions(), "space": "a model", "false_alarms": 0.01}
RNG = np.random.default_rng(0)
MIXED = RNG.normal(size=(6, 40))


def vectors(count: int, seed: int) -> list[np.ndarray]:
    """Features of 40 numbers that vary in 6 directions, each (1, 40)."""
    rng = np.random.default_rng(seed)
    rows = 5 + rng.normal(size=(count, 6)) @ MIXED + 0.1 * rng.normal(size=(count, 40))
    return [*rows.astype(np.float32)[:, np.newaxis]]


def maps(count: int, seed: int) -> list[np.ndarray]:
    """Maps of two kinds of places in stripes, each (1, 6, 5, 8)."""
    rng = np.random.default_rng(seed)
    stripes = np.zeros((6, 5, 8)) + np.arange(6)[:, np.newaxis, np.newaxis] % 2
    found = stripes + 0.1 * rng.normal(size=(count, 6, 5, 8))
    return [*found.astype(np.float32)[:, np.newaxis]]


def seen(method: str, sample: np.ndarray) -> Seen:
    if method == "gaussian":
        return Seen([], sample, None)
    return Seen([], sample.mean(axis=(1, 2)), sample)


@pytest.mark.parametrize(("method", "draw"), [("gaussian", vectors), ("patches", maps)])
def test_fresh_normal_pictures_seldom_alarm_and_strange_ones_always(method, draw, tmp_path):
    normal, kept = learn(draw(80, 1), method, **SETTINGS)
    assert kept == list(range(80))
    normal.save(tmp_path / "normal.npz")
    loaded = Normal.load(tmp_path / "normal.npz")
    fresh = [seen(method, sample) for sample in draw(400, 2)]
    scores = np.array([normal.score(one) for one in fresh])
    assert [loaded.score(one) for one in fresh] == scores.tolist()
    assert loaded.threshold == normal.threshold
    assert (scores > normal.threshold).sum() <= 12
    for sample in draw(20, 3):
        strange = sample.copy()
        if method == "gaussian":
            strange[0, ::2] += 2
        else:
            strange[0, 4, 1] += 2
        assert loaded.score(seen(method, strange)) > normal.threshold
    if method == "patches":
        row, column = np.unravel_index(loaded.heat(seen(method, strange)).argmax(), (6, 5))
        assert abs(row - 4) <= 1 and abs(column - 1) <= 1


def test_gaussian_is_the_mahalanobis_distance_where_all_directions_vary():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(4, 4))
    samples = [(rng.normal(size=(1, 4)) @ mixed).astype(np.float32) for _ in range(3000)]
    gaussian = Gaussian.fit(samples)
    rows = np.concatenate(samples)
    inverse = np.linalg.inv(np.cov(rows.T.astype(np.float64)))
    centered = rows[:50] - rows.mean(axis=0)
    wanted = np.sqrt(np.einsum("ni,ij,nj->n", centered, inverse, centered) / 4)
    found = gaussian.heat(rows[:50]).reshape(-1)
    assert np.corrcoef(found, wanted)[0, 1] > 0.9


def test_distances_to_a_memory_are_those_of_a_loop():
    samples = maps(5, 0)
    memory = PatchMemory.fit(samples)
    (sample,) = maps(1, 9)
    places = neighborhoods(sample)[0]
    for row in range(6):
        for column in range(5):
            near = sample[0, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            mean = near.mean(axis=(0, 1))
            np.testing.assert_allclose(places[row, column], mean, rtol=1e-5, atol=1e-6)
            wanted = np.linalg.norm(memory.places - mean, axis=1).min()
            assert memory.heat(sample)[0, row, column] == pytest.approx(wanted, rel=1e-4)
    known = PatchMemory(neighborhoods(1000 + sample).reshape(-1, 8))
    assert known.heat(1000 + sample).max() == 0  # and not the rounding of a million


def test_a_cover_leaves_nothing_far_away():
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(size=(500, 3)), [[50, 0, 0]]]).astype(np.float32)
    chosen = cover(vectors, 30)
    assert len(set(chosen)) == 30 and 500 in chosen

    def radius(numbers):
        distances = np.linalg.norm(vectors[:, np.newaxis] - vectors[numbers], axis=2)
        return distances.min(axis=1).max()

    assert radius(chosen) < 0.8 * min(radius(rng.permutation(501)[:30]) for _ in range(20))
    assert len(cover(np.ones((20, 3), np.float32), 10)) == 1


@pytest.mark.parametrize(("method", "draw"), [("gaussian", vectors), ("patches", maps)])
def test_pictures_that_say_nothing_of_normal(method, draw):
    one, two, *_ = draw(4, 0)
    with pytest.raises(S2bnnError, match="^one normal picture is too few; name at least 4"):
        learn([one], method, **SETTINGS)
    with pytest.raises(S2bnnError, match="^20 normal pictures with only 1 that differ are too few"):
        learn([one] * 20, method, **SETTINGS)
    with pytest.raises(S2bnnError, match="^10 normal pictures with only 2 that differ"):
        learn([one] * 9 + [two], method, **SETTINGS)
    with pytest.raises(S2bnnError, match="not finite"):
        learn([one * np.nan] * 5, method, **SETTINGS)
    normal, kept = learn([*draw(4, 0), one, two], method, **SETTINGS)
    assert kept == [0, 1, 2, 3] and len(normal.held_out) == 4
    assert (normal.held_out <= normal.threshold).all()


def test_tiles_are_joined_and_the_largest_counts(tmp_path):
    regions = Regions((3, 4, 8, 6), 2)
    picture = np.arange(20 * 30 * 3).reshape(20, 30, 3).astype(np.uint8)
    parts = regions.cut(picture, "x")
    assert [part.shape for part in parts] == [(3, 4, 3)] * 4
    np.testing.assert_array_equal(parts[1], picture[4:7, 7:11])
    np.testing.assert_array_equal(parts[2], picture[7:10, 3:7])
    grid = regions.grid(np.arange(4)[:, np.newaxis, np.newaxis] + np.zeros((4, 2, 3)))
    assert grid.shape == (4, 6) and grid[0, 5] == 1 and grid[3, 0] == 2
    samples = [np.concatenate(vectors(4, seed)) for seed in range(10)]
    normal, _ = learn(samples, "gaussian", **{**SETTINGS, "regions": regions})
    normal.save(tmp_path / "normal.npz")
    assert Normal.load(tmp_path / "normal.npz").regions == regions
    sample = samples[0].copy()
    sample[2] += 5
    heat = normal.heat(Seen([], sample, None))
    assert heat.shape == (2, 2) and heat.argmax() == 2
    assert normal.score(Seen([], sample, None)) == heat.max() > normal.threshold


def test_scores_that_are_not_finite_are_no_scores(tmp_path):
    path = tmp_path / "normal.npz"
    learn(vectors(8, 0), "gaussian", **SETTINGS)[0].save(path)
    with np.load(path) as arrays:
        changed = {**arrays, "rest": np.array([1e-30])}
    np.savez(path, **changed)
    with pytest.raises(S2bnnError, match="the scores are not finite; learn again"):
        Normal.load(path).score(Seen([], np.full((1, 40), np.inf, np.float32), None))


@pytest.mark.parametrize(
    "change",
    [
        {"method": "other"},
        {"threshold": np.nan},
        {"tiles": 0},
        {"tiles": 10**6},
        {"tiles": np.array([1, 1])},
        {"held_out": np.float64(1)},
        {"held_out": np.ones(3)},
        {"held_out": np.full(8, np.nan)},
        {"variances": np.ones((3, 1))},
        {"directions": np.array("a")},
        {"roi": np.array([1, 2, 3])},
        {"roi": np.array([1, 2, 0, 3])},
        {"mean": np.zeros(3)},
        {"rest": np.zeros(1)},
        {"variances": np.full(3, np.inf)},
        {"space": None},
    ],
)
def test_a_file_of_another_kind_is_refused(change, tmp_path):
    path = tmp_path / "normal.npz"
    learn(vectors(8, 0), "gaussian", **SETTINGS)[0].save(path)
    with np.load(path) as arrays:
        changed = {**arrays, **change}
    np.savez(path, **{name: value for name, value in changed.items() if value is not None})
    with pytest.raises(S2bnnError, match="does not hold what is normal"):
        Normal.load(path)
