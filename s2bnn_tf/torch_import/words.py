"""Names from a file, made short enough for a message."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from s2bnn_tf.text import printable

_LONGEST = 120  # characters of a name


def shown(name: object) -> str:
    """A name or key as a message shows it; of a key that is no text, only the type is known.

    >>> shown("layer1.0.bn1"), shown((1, 2))
    ('layer1.0.bn1', 'a tuple')
    """
    if not isinstance(name, str):
        return f"a {type(name).__name__}"
    text = printable(name[:_LONGEST])
    return text if len(name) <= _LONGEST else f"{text}…"


def few(names: Iterable[object], count: int = 4) -> str:
    """The first few of these names, and how many more there are.

    >>> few(["a", "b", "c"], count=2)
    'a, b and 1 more'
    """
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(map(shown, islice(names, count))) + more
