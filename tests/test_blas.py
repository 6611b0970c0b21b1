"""Linear algebra on one thread, of all libraries that are loaded."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info

from s2bnn_tf.blas import one_thread


def threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_one_thread_is_left_and_the_others_come_back():
    np.linalg.svd(np.eye(3))
    before = threads()
    with one_thread():
        assert set(threads()) == {1}
    assert threads() == before
