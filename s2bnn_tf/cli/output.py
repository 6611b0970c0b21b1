"""Results go to standard output, and everything else goes to standard error."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import click

from s2bnn_tf.text import printable


class _Once(logging.Handler):
    """Shows each message of the library once, on standard error."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = printable(record.getMessage())
        if message not in self.shown:
            self.shown.add(message)
            click.echo(message, err=True)


@contextlib.contextmanager
def shown_log() -> Iterator[None]:
    """Show what the library logs, such as what was found in a folder, while a verb runs."""
    logger, handler = logging.getLogger("s2bnn_tf"), _Once()
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # what TensorFlow 2.20 imports gives the root logger a handler, too
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates


def print_result(result: dict[str, Any], as_json: bool, describe: Callable[[], str]) -> None:
    """Print a result as one JSON object on the last line, or in words.

    Args:
        result: The result, ready for JSON.
        as_json: Whether to print JSON.
        describe: Returns the result in words.
    """
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo("\n".join(map(printable, describe().split("\n"))))
    if "runtime" in result:
        from s2bnn_tf.tflite import RUNTIMES

        click.echo(f"run by: {RUNTIMES[result['runtime']]}")
