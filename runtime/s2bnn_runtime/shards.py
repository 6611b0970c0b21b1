"""A part of a list, for one of several workers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TypeVar

from s2bnn_runtime.errors import S2bnnError

Item = TypeVar("Item")


def read_shard(text: str) -> tuple[int, int]:
    """Read "I/N", the I-th of N parts from 1 on, from the command line."""
    number, slash, count = text.partition("/")
    if slash and all(part.isascii() and part.isdecimal() for part in (number, count)):
        shard = int(number), int(count)
        if 1 <= shard[0] <= shard[1]:
            return shard
    raise argparse.ArgumentTypeError(f"3/64, the third of 64 parts, is the form, not {text!r}")


def take_shard(items: Sequence[Item], shard: tuple[int, int]) -> Sequence[Item]:
    """Take one part of a list; all parts after each other are the list.

    Raises:
        S2bnnError: If there are fewer items than parts, and this part is empty.
    """
    number, count = shard
    part = items[len(items) * (number - 1) // count : len(items) * number // count]
    if not part:
        raise S2bnnError(
            f"part {number} of {count} is empty, since there are {len(items)} pictures; use fewer"
        )
    return part
