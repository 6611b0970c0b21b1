"""Work on the next items while the caller is busy with this one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# More would help where there are more cores, at the cost of a decoded picture for each.
_MOST_THREADS = 4


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Apply a function to items in threads, as many as there are cores, at most four.

    It is for work that holds no lock of Python's, such as decoding pictures.

    Args:
        work: The function.
        items: What it is applied to. They are asked for a few results ahead, so this is for items
            that are there, and not for those that arrive one by one.

    Yields:
        The results in the order of the items.

    Raises:
        Exception: What `work` raises, in the place of its result.
    """
    from concurrent.futures import Future, ThreadPoolExecutor  # 10 ms at start-up

    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # the caller may have had enough
            for future in waiting:
                future.cancel()
