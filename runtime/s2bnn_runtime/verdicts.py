"""Verdicts on a scene over time, which do not flicker."""

from __future__ import annotations

import argparse
from collections import Counter, deque
from typing import NamedTuple

_LONGEST = 1000  # results that are remembered


class Agreement(NamedTuple):
    """How many of the last results must agree, as in 3 of 5: more than half of them."""

    needed: int
    of: int


class Verdicts:
    """The result on which enough of the last ones agree.

    It stays until enough of the last ones agree on another. More than half of them is enough, so
    there are never two.

    >>> verdicts = Verdicts(Agreement(2, 3))
    >>> [verdicts.add(result).result for result in ("cat", "cat", "dog", "cat", "dog", "dog")]
    [None, 'cat', 'cat', 'cat', 'dog', 'dog']
    """

    def __init__(self, agreement: Agreement) -> None:
        self._needed = agreement.needed
        self._last: deque[object] = deque(maxlen=agreement.of)
        self._verdict = Verdict(None, False)

    def add(self, result: object) -> Verdict:
        """The verdict after one more result."""
        self._last.append(result)
        ((most, count),) = Counter(self._last).most_common(1)
        if count >= self._needed:
            self._verdict = Verdict(most, True)
        return self._verdict


class Verdict(NamedTuple):
    """The result on which the last pictures agree, and whether they have ever agreed.

    A result may be None, as that of a picture of no class.
    """

    result: object
    settled: bool


def read_agreement(text: str) -> Agreement:
    """Read K/N from the command line."""
    words = text.split("/")
    if len(words) == 2 and all(word.isascii() and word.isdecimal() for word in words):
        needed, of = map(int, words)
        if of < 2 * needed <= 2 * of <= 2 * _LONGEST:
            return Agreement(needed, of)
    raise argparse.ArgumentTypeError(
        f"K/N is needed, such as 3/5, with K more than half of N and N at most {_LONGEST}, "
        f"not {text!r}"
    )
