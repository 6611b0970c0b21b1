"""Results go to standard output, and everything else goes to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click


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
    click.echo(describe())
    if "runtime" in result:
        from s2bnn_tf.tflite import RUNTIMES

        click.echo(f"run by: {RUNTIMES[result['runtime']]}")


def show_progress(what: str, done: int = 0, total: int = 0) -> None:
    """Show a message, or how much of it is done: one moving line in a terminal, else the last.

    Args:
        what: What is being done.
        done: How many parts are finished.
        total: The number of parts, or 0 for a message alone.
    """
    if not total:
        click.echo(what, err=True)
    elif sys.stderr.isatty():
        click.echo(f"\r{what}: {done}/{total}\x1b[K", nl=done >= total, err=True)
    elif done >= total:
        click.echo(f"{what}: {done}/{total}", err=True)
