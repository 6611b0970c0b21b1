"""The one way in which long work reports how far it is."""

from __future__ import annotations

from typing import Protocol


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
