"""Parts of a list for several workers."""

from __future__ import annotations

import argparse

import pytest

from s2bnn_runtime import S2bnnError
from s2bnn_runtime.shards import read_shard, take_shard


@pytest.mark.parametrize("length", [1, 5, 64, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_parts_after_each_other_are_the_list(length, count):
    items = list(range(length))
    if length < count:
        with pytest.raises(S2bnnError, match=f"of {count} is empty, since there are {length}"):
            [take_shard(items, (number, count)) for number in range(1, count + 1)]
        return
    parts = [take_shard(items, (number, count)) for number in range(1, count + 1)]
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_part_is_read_from_the_command_line():
    assert read_shard("3/64") == (3, 64)
    for wrong in ("0/3", "4/3", "3", "3/", "a/b", "²/3", "-1/3"):
        with pytest.raises(argparse.ArgumentTypeError, match="the third of 64 parts"):
            read_shard(wrong)
