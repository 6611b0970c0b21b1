"""Files read with suspicion, since they may be damaged or come from somebody else."""

from __future__ import annotations

import json
import math
import os
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.errors import S2bnnError, file_errors, one_line

_LOCAL_HEADER = 30  # bytes of a zip member before its name
LIMIT = 2**28  # bytes of one file, and of all arrays in it together

Wanted = tuple[type[np.generic], tuple[str | int, ...]]  # the kind of an array, and its shape


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; never a pipe, a device or a folder.

    Raises:
        S2bnnError: If there is no such file, or it cannot be opened.
    """
    with file_errors():
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without waiting for a writer
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            kind = "is a folder, not a file" if stat.S_ISDIR(mode) else "is not a regular file"
            raise S2bnnError(f"{os.fspath(path)} {kind}")
        return os.fdopen(descriptor, "rb")


def read_bytes(path: str | os.PathLike[str], limit: int = LIMIT) -> bytes:
    """Read a whole regular file.

    Raises:
        S2bnnError: If it cannot be read, or has more bytes than the limit.
    """
    with open_regular(path) as file, file_errors():
        if os.fstat(file.fileno()).st_size > limit:
            raise S2bnnError(f"{os.fspath(path)} is larger than {limit:,} bytes")
        return file.read()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        S2bnnError: If it cannot be read or holds something else.
    """
    data = read_bytes(path)
    try:
        content = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise S2bnnError(f"{path} is damaged ({one_line(error)[:200]})") from error
    if not isinstance(content, dict):
        raise S2bnnError(f"{path} is damaged (it does not hold an object)")
    return content


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz file. Nothing in it is executed.

    Raises:
        S2bnnError: If it cannot be read or is damaged.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                size = sum(member.file_size for member in members)
                if size > LIMIT:
                    raise ValueError(f"its arrays have {size:,} bytes")
                return {_name(member): _read(archive, member) for member in members}
        except Exception as error:  # a damaged file can raise nearly anything inside a decoder
            reason = one_line(error)[:200] or type(error).__name__
            raise S2bnnError(f"{os.fspath(path)} is damaged ({reason})") from error


def match(arrays: Mapping[str, NDArray[Any]], wanted: Mapping[str, Wanted]) -> bool:
    """Whether arrays have the kinds and shapes of a format; further ones are left alone.

    >>> match({"a": np.zeros((2, 3))}, {"a": (np.floating, ("N", 3))})
    True

    Args:
        arrays: The arrays of a file.
        wanted: The kind of each, and its shape, in which sizes of the same name are the same.

    Raises:
        KeyError: If an array is missing.
    """
    sizes: dict[str | int, int] = {}
    for name, (kind, shape) in wanted.items():
        array = arrays[name]
        if not (np.issubdtype(array.dtype, kind) and array.dtype.isnative):
            return False
        if array.ndim != len(shape):
            return False
        for size, found in zip(shape, array.shape):
            if sizes.setdefault(size, size if isinstance(size, int) else found) != found:
                return False
    return True


def map_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Map all arrays of an .npz file, so that only the parts that are used come into memory.

    Nothing in the file is executed.

    Raises:
        S2bnnError: If it cannot be read, is damaged, or is compressed.
    """
    with open_regular(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
            return {_name(member): _map(file, member, size) for member in members}
        except Exception as error:  # a damaged file can raise nearly anything inside a decoder
            reason = one_line(error)[:200] or type(error).__name__
            raise S2bnnError(f"{os.fspath(path)} is damaged ({reason})") from error


def _map(file: BinaryIO, member: zipfile.ZipInfo, size: int) -> NDArray[Any]:
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError("it is compressed")
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER)
    name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    begin = member.header_offset + _LOCAL_HEADER + name + extra
    file.seek(begin)
    shape, by_columns, dtype = _header(_name(member), file, min(size, begin + member.file_size))
    if by_columns:
        raise ValueError(f"{_name(member)} is stored by columns")
    if not math.prod(shape):
        return np.zeros(shape, dtype)
    return np.memmap(file, dtype, "r", file.tell(), shape)


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as file:
        _header(_name(member), file, member.file_size)
    with archive.open(member) as file:
        headers: Any = np.lib.format  # its functions have no types
        values: NDArray[Any] = headers.read_array(file, allow_pickle=False)
        return values


def _header(name: str, file: Any, end: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array, whether it is stored by columns, and its type.

    Args:
        name: What to call it.
        file: Where it begins; afterwards, where its numbers begin.
        end: The place in the file that its numbers may reach.
    """
    headers: Any = np.lib.format
    readers = {(1, 0): headers.read_array_header_1_0, (2, 0): headers.read_array_header_2_0}
    try:
        shape, by_columns, dtype = readers[headers.read_magic(file)](file)
    except Exception as error:  # NumPy's words for it are its own
        raise ValueError(f"{name} does not begin as an array does") from error
    if dtype.hasobject or dtype.kind == "V":
        kind = "Python objects" if dtype.hasobject else "records"
        raise ValueError(f"{name} holds {kind}, which are never read")
    if min(shape, default=0) < 0 or file.tell() + math.prod(shape) * dtype.itemsize > end:
        raise ValueError(f"{name} has another size than its header says")
    return shape, by_columns, dtype


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _refuse(name: str) -> None:
    raise ValueError(f"it holds {name}, which is no number")
