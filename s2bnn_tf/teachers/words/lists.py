"""Lists of words: one class a line, `name` or `name: description; another description`."""

from __future__ import annotations

import codecs
import difflib
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from s2bnn_tf.errors import DataError
from s2bnn_tf.reading import read_bytes

EVERYDAY = "everyday"  # the name of the list that is shipped
_EVERYDAY_FILE = Path(__file__).with_name("everyday.txt")
_LARGEST = 64 * 2**20  # bytes; 100,000 lines with long descriptions are a tenth of it
_LONGEST_NAME = 200  # characters; each takes four bytes of every name in the file of vectors


@dataclass(frozen=True)
class Entry:
    """A class that is named in words.

    Attributes:
        name: Its name.
        descriptions: Texts that describe it, which may be none.
    """

    name: str
    descriptions: tuple[str, ...] = ()


def read_list(path: str | Path) -> list[Entry]:
    """Read a list of words, in UTF-8 or, with its mark, in UTF-16.

    Empty lines are left out. Composed and decomposed letters are the same (NFC).

    Args:
        path: A text file, or `"everyday"` for the 1,000 everyday words that are shipped.

    Raises:
        DataError: If it is no such list, or a name is there twice.
    """
    path = _EVERYDAY_FILE if str(path) == EVERYDAY and not Path(path).exists() else Path(path)
    entries: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(unicodedata.normalize("NFC", _read_text(path)).splitlines(), 1):
        if not line.strip():
            continue
        if any(unicodedata.category(c) == "Cc" and c != "\t" for c in line):
            raise DataError(
                f"{path}: line {number} holds a control character, so it is no text; save the list "
                "in UTF-8."
            )
        name, _, rest = line.partition(": ")
        name = name.strip().removesuffix(":")
        if not name or len(name) > _LONGEST_NAME:
            raise DataError(
                f"{path}: line {number} has no name of 1 to {_LONGEST_NAME} characters; write "
                "`name` or `name: description; another description`."
            )
        if name in entries:
            raise DataError(
                f"{path}: line {number} names {name!r}, which line {lines[name]} names already; "
                "put their descriptions into one line."
            )
        parts = tuple(part.strip() for part in rest.split(";") if part.strip())
        entries[name], lines[name] = Entry(name, parts), number
    if not entries:
        raise DataError(f"{path} names nothing; write one class a line.")
    return list(entries.values())


def nearest(name: str, known: list[str]) -> str:
    """The end of a sentence about an unknown name: those that are nearest, or some of all.

    >>> nearest("forklit", ["forklift", "truck"])
    'did you mean forklift?'
    """
    near = difflib.get_close_matches(name, known, 3, 0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"it knows {', '.join(known[:5])}{' and others' if len(known) > 5 else ''}."


def _read_text(path: Path) -> str:
    try:
        data = read_bytes(path, limit=_LARGEST)
    except FileNotFoundError as error:
        raise DataError(f"There is no list of words {path}; check its path.") from error
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    try:
        return data.decode("utf-16" if data.startswith(marks) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8; save it as that.") from error
