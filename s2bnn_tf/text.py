"""Texts made fit to be shown: numbers of things, and names of files and classes."""

from __future__ import annotations


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
