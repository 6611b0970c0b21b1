"""Errors of the operating system, of memory and of a given teacher, as exceptions of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from s2bnn_tf.errors import ConfigError, DataError, ModelError, UserError, describe_os_error
from s2bnn_tf.teachers import teacher_failure


@contextmanager
def own_errors() -> Iterator[None]:
    """Turn what a user can mend into a `UserError`, as the command line does in words.

    Raises:
        DataError: For what the operating system refuses.
        ConfigError: If there is not enough memory.
        ModelError: If a function that was given as a teacher fails.
    """
    try:
        yield
    except OSError as error:
        raise DataError(describe_os_error(error)) from error
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise ConfigError(
            "There is not enough memory: close some programs, or lower data.batch_size in "
            "overrides."
        ) from error
    except tf.errors.OpError:
        failure = teacher_failure()
        if failure is None:
            raise
        if isinstance(failure, UserError):
            raise failure from None
        raise ModelError(
            f"The function that was given as a teacher fails ({type(failure).__name__}: "
            f"{failure}); mend it and call fit again."
        ) from failure
