"""Python searches for cycles hardly ever while something starts, and as before afterwards."""

from __future__ import annotations

import gc

import pytest

from s2bnn_tf.collecting import few_collections


@pytest.fixture(autouse=True)
def restored():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def collections_of(count: int) -> int:
    """How often Python searches while so many lists are made that stay."""
    before = gc.get_stats()[0]["collections"]
    kept = [[] for _ in range(count)]
    assert len(kept) == count
    return gc.get_stats()[0]["collections"] - before


def test_hardly_any_search_inside_and_the_users_own_setting_afterwards():
    gc.set_threshold(500, 7, 7)
    assert collections_of(50_000) > 50
    with few_collections():
        assert collections_of(50_000) <= 1
    assert gc.get_threshold() == (500, 7, 7)


def test_it_ends_where_it_is_told_to_or_at_an_error():
    gc.set_threshold(500, 7, 7)
    with few_collections() as end:
        end()
        gc.set_threshold(600, 7, 7)
        end()  # later changes of the user's stay
    assert gc.get_threshold() == (600, 7, 7)
    with pytest.raises(KeyError), few_collections():
        raise KeyError
    assert gc.get_threshold() == (600, 7, 7)


def test_a_search_that_is_off_stays_off():
    gc.set_threshold(0)
    with few_collections():
        assert gc.get_threshold()[0] == 0
    gc.set_threshold(2_000_000)
    with few_collections():
        assert gc.get_threshold()[0] == 2_000_000
