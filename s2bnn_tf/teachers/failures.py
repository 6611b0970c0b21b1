"""What went wrong in a teacher that TensorFlow calls: it passes on only the exception's text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from s2bnn_tf.errors import UserError

_last: Exception | None = None


def note_failure(error: Exception) -> None:
    """Keep the exception that a teacher raises, for `teacher_failure`."""
    global _last
    _last = error


def teacher_failure() -> Exception | None:
    """The last exception that a teacher has raised, if one has; asking forgets it."""
    global _last
    failure, _last = _last, None
    return failure


@contextmanager
def teacher_failures() -> Iterator[None]:
    """Raise a teacher's own `UserError` where TensorFlow raises its error about it.

    Raises:
        UserError: What the teacher has raised.
    """
    try:
        yield
    except tf.errors.OpError:
        failure = teacher_failure()
        if isinstance(failure, UserError):
            raise failure from None
        if failure is not None:  # for those further up, who know whose function it is
            note_failure(failure)
        raise
