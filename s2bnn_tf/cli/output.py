"""Results go to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import click

_RUNTIMES = {"lce": "Larq Compute Engine", "s2bnn": "s2bnn_runtime"}


def print_result(result: dict, as_json: bool, describe: Callable[[], str]) -> None:
    """The result as one JSON object on the last line, or in words."""
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(describe())
    if "runtime" in result:
        click.echo(f"run by: {_RUNTIMES[result['runtime']]}")


def say(message: str) -> None:
    """A line of progress."""
    click.echo(message, err=True)


def show_progress(what: str, done: int, total: int) -> None:
    """One moving line in a terminal, one line at the end elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r{what}: {done}/{total}\x1b[K", nl=done >= total, err=True)
    elif done >= total:
        click.echo(f"{what}: {done}/{total}", err=True)
