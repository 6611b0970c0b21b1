"""The one way in which long work reports how far it is."""

from __future__ import annotations

import sys
from typing import Protocol

import click

from s2bnn_tf.text import printable


class Progress(Protocol):
    """A function that is called with what is being done and how much of it is done."""

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        """Report progress.

        Args:
            what: What is being done, in a few words or a sentence.
            done: How many parts are finished.
            total: The number of parts; 0 where there are none to count, only the message.
        """


def no_progress(what: str, done: int = 0, total: int = 0) -> None:
    """Report nothing: the `Progress` of callers who do not want to hear of any."""


def show_progress(what: str, done: int = 0, total: int = 0) -> None:
    """Show a message, or how much of it is done: one moving line in a terminal, else the last.

    Args:
        what: What is being done.
        done: How many parts are finished.
        total: The number of parts, or 0 for a message alone.
    """
    what = printable(what)
    if not total:
        click.echo(what, err=True)
    elif sys.stderr.isatty():
        click.echo(f"\r{what}: {done}/{total}\x1b[K", nl=done >= total, err=True)
    elif done >= total:
        click.echo(f"{what}: {done}/{total}", err=True)
