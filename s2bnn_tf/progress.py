"""The one way in which long work reports how far it is."""

from __future__ import annotations

import html
import sys
from typing import Any, Protocol

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


def in_notebook() -> bool:
    """Whether this program is the kernel of a notebook, which shows more than text."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """A bar below the cell of a notebook, which every call for the same work moves."""

    def __init__(self) -> None:
        self._work: tuple[str, str] | None = None
        self._display: Any = None

    def show(self, what: str, done: int, total: int, *, work: str | None = None) -> None:
        """Show how much is done, or only a message.

        Args:
            what: What is being done.
            done: How many parts are finished.
            total: The number of parts, or 0 for a message alone.
            work: What stays the same while the bar moves; by default `what`.
        """
        from IPython import display, get_ipython

        if not total:
            print(what)
            self._work = None
            return
        text = f"{what}: {done:,}/{total:,}"
        bar = f'<progress value="{done}" max="{total}"></progress> {html.escape(text)}'
        # A cell that runs again, and a bar that is full, begin another one.
        now = (work or what, str(get_ipython().execution_count))
        if self._work != now or self._display is None:
            self._display = display.display(display.HTML(bar), display_id=True)
        else:
            self._display.update(display.HTML(bar))
        self._work = now if done < total else None


_BAR = NotebookBar()


def show_progress(what: str, done: int = 0, total: int = 0) -> None:
    """Show a message, or how much of it is done.

    A terminal has one moving line, a notebook a bar below the cell, and a log file the last line.

    Args:
        what: What is being done.
        done: How many parts are finished.
        total: The number of parts, or 0 for a message alone.
    """
    what = printable(what)
    if in_notebook():
        _BAR.show(what, done, total)
    elif not total:
        click.echo(what, err=True)
    elif sys.stderr.isatty():
        click.echo(f"\r{what}: {done}/{total}\x1b[K", nl=done >= total, err=True)
    elif done >= total:
        click.echo(f"{what}: {done}/{total}", err=True)
