"""Texts made fit to be shown: numbers of things, names of files and classes, types of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_TYPES = {
    "b": "truth values",
    "i": "{bits}-bit integers",
    "u": "unsigned {bits}-bit integers",
    "f": "{bits}-bit floats",
    "c": "complex numbers",
    "M": "dates",
    "m": "durations",
    "U": "text",
    "S": "bytes",
    "O": "Python objects",
}
_KINDS = {"b": "truth values", "i": "integers", "u": "integers", "f": "floats", "U": "text"}


def printable(text: str) -> str:
    r"""Replace control characters and bytes that are not UTF-8 by their escapes.

    A terminal would obey an escape sequence in a name, and could not show the bytes at all.

    >>> printable("caf\u00e9 \x1b[31mred \udcff")
    'café \\x1b[31mred \\udcff'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def counted(count: int, noun: str) -> str:
    """Name a number of things.

    >>> counted(1, "picture"), counted(1200, "picture")
    ('1 picture', '1,200 pictures')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def described_type(dtype: np.dtype[Any]) -> str:
    """Name what an array holds, without NumPy's own words for it.

    >>> import numpy as np
    >>> described_type(np.dtype("<U5")), described_type(np.dtype(np.float64))
    ('text', '64-bit floats')
    """
    if dtype.kind in _TYPES:
        return _TYPES[dtype.kind].format(bits=8 * dtype.itemsize)
    # Of kind V are records, bytes without a meaning, and numbers that other packages add.
    is_number = dtype.names is None and not dtype.name.startswith("void")
    return f"{dtype.name} numbers" if is_number else "records"


def described_kinds(kinds: str) -> str:
    """Name what an array may hold.

    >>> described_kinds("iu"), described_kinds("bui")
    ('integers', 'truth values or integers')

    Args:
        kinds: Kinds of NumPy's types, of `bfiuU`.
    """
    return " or ".join(dict.fromkeys(_KINDS[kind] for kind in kinds))
