"""Files read with suspicion: each is whole and as expected, or one sentence says what is wrong.

A file may be damaged, or come from somebody else. So nothing is trusted that it says about
itself: sizes are checked before memory is taken, types, ranks, ranges and finiteness before a
value is used, and whatever a decoder raises becomes one sentence that names the file and the
cure. Only a file that does not exist keeps its `FileNotFoundError`, since that is often no fault.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import math
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import CheckpointError, UserError
from s2bnn_tf.text import described_kinds, described_type

log = logging.getLogger(__name__)

JSON_LIMIT = 64 * 2**20  # bytes; the longest metrics.jsonl of a year's training is a tenth of it
ARRAY_LIMIT = 16 * 2**30  # bytes of one array; a million rows of 2,048 float32 are half of it
_HEADER_LIMIT = 65536
_FREELY_UNPACKED = 64 * 2**20  # bytes that any file may unpack to
_LARGEST_RATIO = 50  # of sizes beyond that; what we write large is not compressed at all


@dataclass(frozen=True)
class Array:
    """The arrays that are accepted under a name.

    Attributes:
        kinds: The accepted `dtype.kind`s, for example `"f"` or `"iu"`; `"U"` is text.
        shape: One entry per dimension: its size, or a name. Dimensions of the same name in one
            file have the same size.
        low: The smallest accepted value.
        high: The largest accepted value.
        below: The name of a dimension whose size the values do not reach, as those of labels do
            not reach the number of classes.
        optional: Whether the array may be missing.
    """

    kinds: str
    shape: tuple[int | str, ...]
    low: float = -math.inf
    high: float = math.inf
    below: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Number:
    """A finite number that is accepted in JSON.

    Attributes:
        low: The smallest accepted value.
        high: The largest accepted value.
        whole: Whether it must be an integer.
        above: A value that it must exceed.
        optional: Whether it may be null or missing.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    above: float = -math.inf
    optional: bool = False

    def accepts(self, value: Any) -> bool:
        """Whether a value is such a number."""
        is_number = isinstance(value, (int,) if self.whole else (int, float))
        return (
            is_number
            and not isinstance(value, bool)
            and math.isfinite(value)
            and self.low <= value <= self.high
            and value > self.above
        )

    def __str__(self) -> str:
        words = ["an integer" if self.whole else "a number"]
        if self.above > -math.inf:
            words.append(f"above {self.above:g}")
        if self.low > -math.inf:
            words.append(f"from {self.low:g}")
        if self.high < math.inf:
            words.append(f"up to {self.high:g}")
        return " ".join(words)


@dataclass(frozen=True)
class Text:
    """A text that is accepted in JSON.

    Attributes:
        choices: The accepted texts; any text if there are none.
        optional: Whether it may be null or missing.
    """

    choices: tuple[str, ...] = ()
    optional: bool = False

    def accepts(self, value: Any) -> bool:
        """Whether a value is such a text."""
        return isinstance(value, str) and (not self.choices or value in self.choices)

    def __str__(self) -> str:
        return f"one of {', '.join(self.choices)}" if self.choices else "a text"


@dataclass(frozen=True)
class ListOf:
    """A list that is accepted in JSON.

    Attributes:
        item: What each of its items must be.
        length: The number of items; any number if None.
        optional: Whether it may be null or missing.
    """

    item: Field
    length: int | None = None
    optional: bool = False

    def accepts(self, value: Any) -> bool:
        """Whether a value is such a list."""
        return (
            isinstance(value, list)
            and self.length in (None, len(value))
            and all(map(self.item.accepts, value))
        )

    def __str__(self) -> str:
        count = "" if self.length is None else f"{self.length} times "
        return f"a list of {count}{self.item}"


@dataclass(frozen=True)
class Object:
    """An object that is accepted in JSON.

    Attributes:
        fields: What each key must hold; other keys are accepted as they are.
        values: What the value of every key must be; anything if None.
        optional: Whether it may be null or missing.
    """

    fields: Mapping[str, Field] = dataclasses.field(default_factory=dict)
    values: Field | None = None
    optional: bool = False

    def accepts(self, value: Any) -> bool:
        """Whether a value is such an object."""
        if not isinstance(value, dict):
            return False
        if self.values is not None and not all(map(self.values.accepts, value.values())):
            return False
        try:
            check_fields(value, self.fields)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        return f"an object with {', '.join(self.fields)}" if self.fields else "an object"


Field: TypeAlias = "Number | Text | ListOf | Object"


def open_regular(path: str | Path, *, follow_links: bool = True) -> BinaryIO:
    """Open a regular file for reading; never a pipe, a device, a socket or a folder.

    Args:
        path: The file.
        follow_links: Whether a symbolic link is followed to the file that it names.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be opened, or is not a regular file; `strerror` says so.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # without waiting for a pipe's writer
    if not follow_links:
        flags |= os.O_NOFOLLOW
    descriptor = os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        if not stat.S_ISREG(mode):
            raise OSError(0, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | Path, *, limit: int, follow_links: bool = True) -> bytes:
    """Read a whole regular file.

    Args:
        path: The file.
        limit: The largest accepted size in bytes.
        follow_links: As for `open_regular`.

    Raises:
        OSError: As from `open_regular`, or if the file is larger than the limit.
    """
    with open_regular(path, follow_links=follow_links) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(0, f"it is larger than {limit:,} bytes", str(path))
        return file.read()


def read_json(
    path: str | Path,
    fields: Mapping[str, Field] | None = None,
    *,
    cure: str,
    error: type[UserError] = CheckpointError,
    follow_links: bool = False,
) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Args:
        path: The file.
        fields: What each key must hold; keys inside objects are joined by dots. Other keys are
            accepted as they are.
        cure: What the user should do about a damaged file, as the end of a sentence.
        error: The exception to raise.
        follow_links: Whether a symbolic link is followed; not in directories of ours.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If it is damaged; it is raised as the class `error`.
    """
    with one_sentence(path, cure, error):
        data = read_bytes(path, limit=JSON_LIMIT, follow_links=follow_links)
        content = _parse_object(data)
        check_fields(content, fields or {})
    return content


def read_json_lines(
    path: str | Path, fields: Mapping[str, Field] | None = None
) -> list[dict[str, Any]]:
    """Read a file with one JSON object per line, as a log is written.

    A last line that was cut short is left out, and so is every damaged line, with a warning.
    Numbers that are not finite are read as null.

    Args:
        path: The file.
        fields: What each line must hold, as for `read_json`.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it cannot be read.
    """
    with one_sentence(path, "replace it, or move it away", CheckpointError):
        *lines, rest = read_bytes(path, limit=JSON_LIMIT, follow_links=False).split(b"\n")
    rows, damaged = [], 0
    for line in (*lines, rest):
        try:
            row = _parse_object(line, finite=False)
            check_fields(row, fields or {})
            rows.append(row)
        except (ValueError, RecursionError):
            damaged += line is not rest and bool(line.strip())
    if damaged:
        log.warning("%s: %d damaged lines were left out.", path, damaged)
    return rows


def read_npz(
    path: str | Path,
    arrays: Mapping[str, Array],
    *,
    cure: str,
    error: type[UserError] = CheckpointError,
    limit: int = ARRAY_LIMIT,
    follow_links: bool = False,
) -> dict[str, NDArray[Any]]:
    """Read the named arrays of an .npz file; nothing in it is unpickled.

    Args:
        path: The file.
        arrays: What each array must be. Other arrays in the file are left alone.
        cure: What the user should do about a damaged file, as the end of a sentence.
        error: The exception to raise.
        limit: The largest accepted size of one array in bytes.
        follow_links: Whether a symbolic link is followed; not in directories of ours.

    Returns:
        The arrays by name, without those that are optional and missing.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If it is damaged or holds something else; it is raised as the class `error`.
    """
    with (
        one_sentence(path, cure, error),
        open_regular(path, follow_links=follow_links) as file,
    ):
        found = _read_members(file, arrays, limit)
        check_arrays(found, arrays)
    return found


def parse_json(text: str) -> dict[str, Any]:
    """Parse a text that holds one JSON object, as the texts inside of .npz files do.

    Raises:
        ValueError: If it does not, or holds a number that is not finite.
    """
    return _parse_object(text.encode())


def check_fields(content: Mapping[str, Any], fields: Mapping[str, Field]) -> None:
    """Check an object that was read from JSON.

    Args:
        content: The object.
        fields: What each key must hold; keys inside objects are joined by dots.

    Raises:
        ValueError: If something is missing or not as expected; it names the key.
    """
    for key, field in fields.items():
        value: Any = content
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is None and field.optional:
            continue
        if value is None:
            raise ValueError(f"{key} is missing")
        if not field.accepts(value):
            raise ValueError(f"{key} is {_shortened(value)}, not {field}")


def check_member(name: str, member: zipfile.ZipInfo, limit: int) -> None:
    """Check the size of a member of a zip file before it is read.

    Args:
        name: What to call it.
        member: Its entry in the archive.
        limit: The largest accepted size in bytes.

    Raises:
        ValueError: If it is larger, or if it unpacks to far more bytes than it has in the file.
    """
    if member.file_size > limit:
        raise ValueError(f"{name} is larger than {limit:,} bytes")
    check_unpacked(name, member.file_size, member.compress_size)


def check_unpacked(name: str, size: int, stored: int) -> None:
    """Check that what is read from a file is not far larger than the file.

    Args:
        name: What to call it.
        size: Its size in memory, in bytes.
        stored: Its size in the file, in bytes.

    Raises:
        ValueError: If it is far larger.
    """
    if size > max(_FREELY_UNPACKED, _LARGEST_RATIO * stored):
        raise ValueError(f"{name} unpacks to {size:,} bytes")


@contextlib.contextmanager
def one_sentence(path: str | Path, cure: str, error: type[UserError]) -> Iterator[None]:
    """Turn whatever reading a file raises into one sentence.

    Args:
        path: The file.
        cure: What the user should do about a damaged file, as the end of a sentence.
        error: The exception to raise. A `FileNotFoundError` passes through.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as fault:
        reason = fault.strerror or str(fault)
        if fault.errno == errno.ELOOP:
            reason = "it is a symbolic link, which is not followed here"
        raise error(f"Cannot read {path}: {reason}; {cure}.") from fault
    except Exception as fault:  # a damaged file can raise nearly anything inside a decoder
        reason = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
        raise error(f"{path} is damaged ({_shortened(reason, 200)}); {cure}.") from fault


def _parse_object(data: bytes, *, finite: bool = True) -> dict[str, Any]:
    def constant(name: str) -> None:
        if finite:
            raise ValueError(f"it holds {name}, which is no number")

    content = json.loads(data.decode("utf-8-sig"), parse_constant=constant)
    if not isinstance(content, dict):
        raise ValueError(f"it holds {type(content).__name__} where an object is expected")
    return content


def _read_members(
    file: BinaryIO, arrays: Mapping[str, Array], limit: int
) -> dict[str, NDArray[Any]]:
    found = {}
    with zipfile.ZipFile(file) as archive:
        members = set(archive.namelist())
        for name, wanted in arrays.items():
            if f"{name}.npy" not in members:
                if wanted.optional:
                    continue
                raise ValueError(f"{name} is missing")
            check_member(name, archive.getinfo(f"{name}.npy"), limit + _HEADER_LIMIT)
            with archive.open(f"{name}.npy") as member:
                found[name] = _read_array(name, member, wanted, limit)
    return found


def _read_array(name: str, member: Any, wanted: Array, limit: int) -> NDArray[Any]:
    """Read one array, whose header is compared with what is wanted before memory is taken."""
    shape, by_columns, dtype = _read_header(name, member)
    check_type(name, dtype, wanted)
    if len(shape) != len(wanted.shape):
        raise ValueError(f"{name} has {len(shape)} dimensions, not {len(wanted.shape)}")
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size > limit:
        raise ValueError(f"{name} has the shape {_shortened(shape)}")
    data = member.read(size)
    if len(data) != size or member.read(1):
        raise ValueError(f"{name} has another size than its header says")
    if not size:
        return np.zeros(shape, dtype)
    values = np.frombuffer(data, dtype)
    return values.reshape(shape[::-1]).T.copy() if by_columns else values.reshape(shape).copy()


def _read_header(name: str, member: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array, whether it is stored by columns, and its type."""
    headers: Any = np.lib.format  # its functions have no types
    readers = {(1, 0): headers.read_array_header_1_0, (2, 0): headers.read_array_header_2_0}
    try:
        found: tuple[tuple[int, ...], bool, np.dtype[Any]] = readers[headers.read_magic(member)](
            member
        )
    except Exception as error:  # NumPy's words for it are its own
        raise ValueError(f"{name} does not begin as an array does") from error
    return found


def check_type(name: str, dtype: np.dtype[Any], wanted: Array) -> None:
    """Check the type of an array.

    Raises:
        ValueError: If it is another one than was wanted.
    """
    if dtype.hasobject or dtype.kind not in wanted.kinds:
        raise ValueError(
            f"{name} holds {described_type(dtype)}, not {described_kinds(wanted.kinds)}"
        )


def check_arrays(found: Mapping[str, NDArray[Any]], arrays: Mapping[str, Array]) -> None:
    """Check the shapes, ranges and finiteness of arrays that were read; `read_npz` does.

    Raises:
        ValueError: If an array is not what was wanted; it names the array.
    """
    sizes: dict[str, int] = {}
    for name, values in found.items():
        wanted = arrays[name]
        for size, dimension in zip(values.shape, wanted.shape, strict=True):
            expected = (
                sizes.setdefault(dimension, size) if isinstance(dimension, str) else dimension
            )
            if size != expected:
                raise ValueError(f"{name} has the shape {values.shape}, expected {wanted.shape}")
        if values.dtype.kind in "iuf" and values.size:
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ValueError(f"{name} holds a number that is not finite")
            if values.min() < wanted.low or values.max() > wanted.high:
                raise ValueError(f"{name} holds numbers outside {wanted.low:g} to {wanted.high:g}")
    for name, values in found.items():
        limit = sizes.get(arrays[name].below or "")
        if limit is not None and values.size and values.max() >= limit:
            raise ValueError(f"{name} holds {values.max()}, and there are {limit} of them")


def _shortened(value: object, length: int = 60) -> str:
    """A value as text that fits into a sentence and has no control characters."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= length else f"{text[: length - 1]}…"
