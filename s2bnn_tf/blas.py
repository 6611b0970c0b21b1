"""Linear algebra of NumPy and scikit-learn on one thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS from sharing its work among threads, which wait for one another by spinning.

    Where another process has one of their cores, they mostly wait: with two threads, the singular
    values of 475 x 3,072 numbers took 20.4 s of a busy machine, and with one 0.5 s.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
