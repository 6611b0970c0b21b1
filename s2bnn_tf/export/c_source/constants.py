"""Constant arrays in C: the same numbers, bit for bit, in the order that the kernels read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 16  # output channels that a filter stores side by side: S2BNN_BLOCK
_TYPES = {"f4": "float", "u4": "uint32_t", "i4": "int32_t", "i2": "int16_t", "i1": "int8_t"}
_WIDTH = 96


def pack_blocks(filters: NDArray[Any]) -> NDArray[Any]:
    """Reorder filters `(O, K)` to `(ceil(O / 16), K, 16)`; the missing channels are 0."""
    channels, products = filters.shape
    blocks = -(-channels // BLOCK)
    padded = np.zeros((blocks * BLOCK, products), filters.dtype)
    padded[:channels] = filters
    return np.ascontiguousarray(padded.reshape(blocks, BLOCK, products).transpose(0, 2, 1))


class Constants:
    """The constant arrays of a source file. Arrays of the same content are written once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.size = 0  # in bytes
        self._names: dict[tuple[str, bytes], str] = {}

    def add(self, name: str, values: NDArray[Any]) -> str:
        """Write an array, and return its name."""
        values = np.ascontiguousarray(values).ravel()
        key = values.dtype.str, values.tobytes()
        if key in self._names:
            return self._names[key]
        self._names[key] = name
        self.size += values.nbytes
        kind = _TYPES[values.dtype.str[1:]]
        self.lines.append(f"static const S2BNN_ALIGNED {kind} {name}[{len(values)}] = {{")
        self.lines += _wrapped([_literal(value) for value in values])
        self.lines += ["};", ""]
        return name

    def add_struct(self, kind: str, name: str, fields: list[str], size: int) -> str:
        """Write a constant structure, and return its name."""
        self.size += size
        self.lines.append(f"static const {kind} {name} = {{")
        self.lines += _wrapped(fields)
        self.lines += ["};", ""]
        return name


def float_literal(value: float) -> str:
    """A float32 in C that reads as the same bits.

    >>> float_literal(0.1), float_literal(-2.0), float_literal(float("-inf"))
    ('1.0e-1F', '-2.0F', '-S2BNN_INFINITY')
    """
    number = np.float32(value)
    if np.isnan(number):
        return "S2BNN_NAN"
    if np.isinf(number):
        return "S2BNN_INFINITY" if number > 0 else "-S2BNN_INFINITY"
    text = np.format_float_scientific(number, unique=True, trim="0", exp_digits=1)
    mantissa, exponent = text.split("e")
    return f"{mantissa}F" if exponent == "+0" else f"{mantissa}e{exponent}F"


def string_literal(text: str) -> str:
    """A text as a literal of C; each byte beyond plain ASCII by its octal number."""
    plain = {byte for byte in range(32, 127)} - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def string_array(name: str, texts: list[str]) -> Iterator[str]:
    """The lines of a constant array of texts."""
    yield f"static const char* const {name}[{len(texts)}] = {{"
    yield from (f"    {string_literal(text)}," for text in texts)
    yield "};"


def _literal(value: Any) -> str:
    if isinstance(value, np.floating):
        return float_literal(float(value))
    return f"0x{int(value):08x}U" if isinstance(value, np.unsignedinteger) else str(int(value))


def _wrapped(items: list[str]) -> list[str]:
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return [*lines, line]
