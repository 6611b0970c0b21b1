"""Python functions inside tf.data that do not hang the interpreter when it exits."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

_QUIET_SECONDS = 0.2
_MOST_SECONDS = 10.0

_lock = threading.Lock()
_closing = threading.Event()
_running = 0
_last_end = 0.0


def numpy_op(
    function: Callable[..., Any], blank: Callable[..., Any], inputs: list[tf.Tensor], dtypes: Any
) -> Any:
    """Run a NumPy function in a graph, as `tf.numpy_function` does.

    A dataset still alive when the interpreter exits (after an exception, held by a traceback)
    waits for its background threads, and these for Python, which is gone: the process hangs.
    So from the moment Python begins to exit the work is left undone, and Python waits until
    the calls have ceased: a dataset that nobody reads fills its few buffers and stops.

    Args:
        function: From arrays to arrays, the same for the same arguments.
        blank: Takes the same arguments, and returns arrays of the same shapes without the work.
        inputs: Arguments of the function.
        dtypes: Of its results.

    Returns:
        The results, of unknown shape.
    """

    @tf.autograph.experimental.do_not_convert
    def call(*arrays: Any) -> Any:
        global _running, _last_end
        with _lock:
            _running += 1
        try:
            return (blank if _closing.is_set() else function)(*arrays)
        finally:
            with _lock:
                _running -= 1
                _last_end = time.monotonic()

    # Not stateful: tf.data would call a stateful one from one thread where runs must be equal.
    return tf.numpy_function(call, inputs, dtypes, stateful=False)


@atexit.register
def _wait_for_calls() -> None:
    _closing.set()
    give_up = time.monotonic() + _MOST_SECONDS
    while _last_end and time.monotonic() < give_up:
        with _lock:
            quiet = not _running and time.monotonic() - _last_end > _QUIET_SECONDS
        if quiet:
            return
        time.sleep(_QUIET_SECONDS / 10)
