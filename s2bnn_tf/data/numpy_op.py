"""Python functions inside tf.data that do not hang the interpreter when it exits."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from s2bnn_tf.errors import UserError

_QUIET_SECONDS = 0.2
_MOST_SECONDS = 10.0

_lock = threading.Lock()
_raised: dict[str, UserError] = {}  # those inside of functions, by what TensorFlow says of them
_closing = threading.Event()
_running = 0
_last_end = 0.0


def numpy_op(
    function: Callable[..., Any], blank: Callable[..., Any], inputs: list[tf.Tensor], dtypes: Any
) -> Any:
    """Run a NumPy function in a graph, as `tf.numpy_function` does.

    A dataset that is alive when the interpreter exits (after an exception, held by a traceback)
    waits for its background threads, and these wait for Python, which is gone: the process hangs.
    Therefore the work is skipped from the moment Python begins to exit, and Python waits until
    no more calls come: a dataset that nobody reads fills its few buffers and stops.

    Args:
        function: A function from arrays to arrays that gives equal results for equal arguments.
        blank: A function that takes the same arguments and returns arrays of the same shapes
            without doing the work.
        inputs: The arguments of the function.
        dtypes: The types of its results.

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
        except UserError as error:
            _raised[f"{type(error).__name__}: {error}"] = error
            raise
        finally:
            with _lock:
                _running -= 1
                _last_end = time.monotonic()

    # Not stateful: where runs must be equal, tf.data would call a stateful one from one thread.
    return tf.numpy_function(call, inputs, dtypes, stateful=False)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise a `UserError` of a function inside tf.data as it is.

    TensorFlow knows only its type and its text, and puts a traceback around them. They are looked
    for in TensorFlow's error, since a thread of an earlier dataset may still raise one of its own.
    """
    _raised.clear()
    try:
        yield
    except tf.errors.OpError as error:
        for text, raised in list(_raised.items()):
            if text in error.message:
                raise raised from None
        raise


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
