"""Protocol Buffers, read field by field and without trust.

The encoding is that of https://protobuf.dev/programming-guides/encoding. What is damaged raises
`ValueError` with the reason.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | memoryview
Fields = list[tuple[int, Value]]


def read_fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of a message: their numbers with an integer, or the bytes that they hold."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if number == 0 or tag >= 2**32:
            raise ValueError("it has a field without a number")
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == 2:
            size, place = _varint(data, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("it has a field of an unknown kind")
        if size > len(data) - place:
            raise ValueError("it ends too early")
        yield number, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    result = 0
    for index in range(10):
        if place + index >= len(data):
            raise ValueError("it ends too early")
        byte = data[place + index]
        result |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return result, place + index + 1
    raise ValueError("it has a number that does not end")


def message(value: Value) -> memoryview:
    """The bytes of a field, which must have some."""
    if isinstance(value, int):
        raise ValueError("it has a number where a part is expected")
    return value


def decode(value: Value) -> str:
    """The text in a field."""
    return bytes(message(value)).decode("utf-8")


def float_of(fields: Fields, number: int) -> float:
    """The last number in a field of 32 bits, or 0."""
    found = [value for place, value in fields if place == number]
    return float(struct.unpack("<f", message(found[-1]))[0]) if found else 0.0
