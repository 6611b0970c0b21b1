"""Garbage collection, which start-up and conversion hardly need."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_RARELY = 1_000_000  # new objects between two collections; Python's default is 700


@contextmanager
def few_collections() -> Iterator[Callable[[], None]]:
    """Let Python's garbage collector look for reference cycles very rarely.

    Importing TensorFlow, building networks and tracing them creates about a million objects,
    nearly all of which stay. Python would look through them some two thousand times, which takes
    a twelfth of the time until a large student's first step.

    Yields:
        A function that restores the user's own thresholds before the block ends. It may be called
        more than once. A collector that the user has switched off stays off.
    """
    before, ended = gc.get_threshold(), False
    gc.set_threshold(max(before[0], _RARELY) if before[0] else 0, *before[1:])

    def end() -> None:
        nonlocal ended
        if not ended:
            ended = True
            gc.set_threshold(*before)

    try:
        yield end
    finally:
        end()
