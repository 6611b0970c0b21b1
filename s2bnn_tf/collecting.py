"""Python's search for objects that refer to each other, which starting up does without."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_RARELY = 1_000_000  # new objects from one search to the next; Python's default is 700


@contextmanager
def few_collections() -> Iterator[Callable[[], None]]:
    """Let Python hardly ever search for cycles of objects that nobody needs.

    Importing TensorFlow, building networks and tracing them makes some million objects, nearly
    all of which stay. Python would look through them some two thousand times, which takes
    a twelfth of the time until a large student's first step.

    Yields:
        A function that ends it before the block does, once or more often. What the user has set
        is back then, with a search switched off among it.
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
