"""The options of Larq Compute Engine's operations: a flat flexbuffer map from names to integers.

The author of a file writes them. A flexbuffer may share its parts, so that 200 bytes unfold to
2^40 values; therefore nothing nested is followed, and the number of entries and the length of
their names are limited. `runtime/src/graph/options.cc` reads them in the same way.
"""

from __future__ import annotations

from s2bnn_tf.tflite.flatbuffer import FlatbufferError

_LARGEST = 65536  # bytes; the options of real models have about 200
_MOST_ENTRIES = 64  # real models have at most 8
_LONGEST_NAME = 64
# Type tags, from the documentation of flatbuffers.
_INT, _UINT, _INDIRECT_INT, _INDIRECT_UINT, _MAP, _BOOL = 1, 2, 6, 7, 9, 26


def read_options(data: bytes) -> dict[str, int]:
    """Read a flexbuffer whose root is a map.

    Args:
        data: The bytes of the flexbuffer.

    Returns:
        The entries that are integers or booleans; others are left out.

    Raises:
        FlatbufferError: If the bytes are no map, point outside of themselves, or exceed a limit.
    """
    if not 3 <= len(data) <= _LARGEST:
        raise FlatbufferError("its options are no flexbuffer")
    # The last byte is the width of the root offset. The byte before it holds the root's type and
    # the width of its elements.
    root_type, root_width = data[-2:]
    if root_type >> 2 != _MAP:
        raise FlatbufferError("its options are no map")
    width = 1 << (root_type & 3)
    values = _follow(data, len(data) - 2 - root_width, root_width)
    # In front of the values are the offset of the keys, the width of the keys and the number of
    # entries; behind them is one type byte for each.
    count = _integer(data, values - width, width)
    key_width = _integer(data, values - 2 * width, width)
    keys = _follow(data, values - 3 * width, width)
    if count > _MOST_ENTRIES:
        raise FlatbufferError(f"it has {count} options")
    options = {}
    for i in range(count):
        kind = _integer(data, values + count * width + i, 1)
        position, size = values + i * width, width
        if kind >> 2 in (_INDIRECT_INT, _INDIRECT_UINT):
            position, size = _follow(data, position, width), 1 << (kind & 3)
        if kind >> 2 in (_INT, _UINT, _BOOL, _INDIRECT_INT, _INDIRECT_UINT):
            name = _name(data, _follow(data, keys + i * key_width, key_width))
            options[name] = _integer(data, position, size, kind >> 2 in (_INT, _INDIRECT_INT))
    return options


def _integer(data: bytes, position: int, width: int, signed: bool = False) -> int:
    if width not in (1, 2, 4, 8) or not 0 <= position <= len(data) - width:
        raise FlatbufferError("its options point outside of themselves")
    return int.from_bytes(data[position : position + width], "little", signed=signed)


def _follow(data: bytes, position: int, width: int) -> int:
    return position - _integer(data, position, width)  # offsets count backwards


def _name(data: bytes, position: int) -> str:
    end = data.find(0, position, position + _LONGEST_NAME + 1) if position >= 0 else -1
    if end < 0:
        raise FlatbufferError("the name of an option does not end")
    return data[position:end].decode(errors="replace")
