"""What a `.tflite` says about itself beside its network, read from the bytes of the file."""

from __future__ import annotations

import struct

_SPACE = b"s2bnn_space"
_BUFFERS, _METADATA = 4, 6  # fields of a Model, in TensorFlow Lite's schema
_NAME, _BUFFER = 0, 1  # of a Metadata
_DATA = 0  # of a Buffer
_LONGEST = 1000  # bytes of a name


def space_in(model: bytes) -> str | None:
    """The name of the space of a model's vectors, as `s2bnn convert --head teacher` writes it.

    Args:
        model: A `.tflite`.

    Returns:
        The name; None if there is none, or the file is damaged.
    """
    try:
        root = _follow(model, 0)
        buffers = _vector(model, root, _BUFFERS)
        for entry in _vector(model, root, _METADATA):
            if _bytes(model, entry, _NAME) == _SPACE:
                place = _field(model, entry, _BUFFER)
                number = struct.unpack_from("<I", model, place)[0] if place else 0
                return _bytes(model, buffers[number], _DATA).decode() or None
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    return None


def _follow(model: bytes, place: int) -> int:
    """Where the offset at a place leads."""
    return int(place + struct.unpack_from("<I", model, place)[0])


def _field(model: bytes, table: int, number: int) -> int:
    """Where a field of a table is; 0 if it has none."""
    names = table - struct.unpack_from("<i", model, table)[0]
    size = struct.unpack_from("<H", model, names)[0]
    if 4 + 2 * number >= size:
        return 0
    offset = int(struct.unpack_from("<H", model, names + 4 + 2 * number)[0])
    return table + offset if offset else 0


def _vector(model: bytes, table: int, number: int) -> list[int]:
    """Where the tables are that a field lists."""
    place = _field(model, table, number)
    if not place:
        return []
    begin = _follow(model, place)
    count = struct.unpack_from("<I", model, begin)[0]
    if 4 * count > len(model):
        return []
    return [_follow(model, begin + 4 + 4 * index) for index in range(count)]


def _bytes(model: bytes, table: int, number: int) -> bytes:
    """The bytes of a field: a text, or a list of bytes."""
    place = _field(model, table, number)
    if not place:
        return b""
    begin = _follow(model, place)
    count = min(int(struct.unpack_from("<I", model, begin)[0]), _LONGEST)
    return model[begin + 4 : begin + 4 + count]
