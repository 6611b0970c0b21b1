"""Groups and the pictures that stand for all, beside slow references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from s2bnn_runtime.clusters import agglomerate, cluster, cover


def units_of(count: int, groups: int = 5, noise: float = 0.6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(groups, 8))
    vectors = centers[rng.integers(0, groups, count)] + noise * rng.normal(size=(count, 8))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def same_groups(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(((one[:, None] == one) == (other[:, None] == other)).all())


@pytest.mark.parametrize("seed", range(5))
def test_agglomeration_is_that_of_scipy(seed):
    units = units_of(120, seed=seed)
    tree = linkage(units, "average", "cosine")
    for count in (1, 2, 5, 17, 120):
        found = agglomerate(units, count)
        assert same_groups(found, fcluster(tree, count, "maxclust"))
        assert sorted(set(found)) == list(range(count))
        assert np.unique(found, return_index=True)[1].tolist() == sorted(
            np.unique(found, return_index=True)[1]
        ), "the groups are in the order of their first members"


def test_equal_vectors_end_and_are_one_group():
    units = np.repeat(units_of(3, noise=0), 40, axis=0)
    found = agglomerate(units, 3 if len(np.unique(units, axis=0)) == 3 else 2)
    assert same_groups(found, np.unique(units, axis=0, return_inverse=True)[1].reshape(-1))
    assert agglomerate(units[:1], 5).tolist() == [0]
    assert agglomerate(units[:2], 5).tolist() == [0, 1]


def test_both_ways_find_groups_that_are_apart():
    units = units_of(200, groups=4, noise=0.05)
    assert same_groups(agglomerate(units, 4), cluster(units, 4))


def test_what_covers_best_is_what_a_loop_finds():
    units = units_of(90)
    cosines = units @ units.T
    chosen, nearest = [], np.full(90, -1.0)
    for _ in range(12):
        sums = np.maximum(cosines, nearest).sum(axis=1)
        chosen.append(int(sums.argmax()))
        nearest = np.maximum(nearest, cosines[chosen[-1]])
    assert cover(units, 12) == chosen


def test_a_few_cover_each_group_and_equal_ones_are_not_chosen_twice():
    units = units_of(300, groups=6, noise=0.05)
    groups = agglomerate(units, 6)
    assert sorted(groups[cover(units, 6)]) == list(range(6))
    assert len(cover(np.repeat(units[:4], 50, axis=0), 10)) == 4
