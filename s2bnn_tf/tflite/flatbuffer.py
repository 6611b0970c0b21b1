"""Whether the bytes of a `.tflite` are a whole flatbuffer.

C++ and Python read a flatbuffer by following offsets, and trust them: C++ reads memory outside of
the file, Python reads from its end when an offset is negative, and both follow shared parts as
often as they are named. So all offsets are checked before anything else reads the file.
`runtime/src/host/verify.cc` checks them in the same way.
"""

from __future__ import annotations

import functools
import struct
from typing import NamedTuple

from s2bnn_tf.tflite.schema_text import SCHEMA

# Files of the converters share no parts but the layouts of tables. Others may share some, but a few
# bytes must not unfold without end.
_MOST_UNFOLDING = 16
_FREELY_UNFOLDED = 65536  # bytes


class FlatbufferError(ValueError):
    """The bytes are not a complete, consistent TensorFlow Lite model.

    The message is a clause without a period, such as "it lacks the identifier TFL3".
    """


class Field(NamedTuple):
    """A field of a table or a member of a union; `runtime/tools/make_schema.py` has the kinds."""

    kind: str
    size: int  # of a scalar, in bytes
    target: str  # the table or union


@functools.cache
def schema() -> dict[str, dict[int, Field]]:
    """The fields of each table, and the members of each union, by their numbers."""
    layouts: dict[str, dict[int, Field]] = {}
    for word in SCHEMA.split():
        number, equal, text = word.partition("=")
        if not equal:
            fields = layouts[word] = {}
        else:
            size = int(text[1:]) if text[0] in "sv" else 4
            fields[int(number)] = Field(text[0], size, text[1:])
    return layouts


def verify(data: bytes) -> None:
    """Check that every table, vector and string of a `.tflite` lies inside of the file.

    Fields of later schemas than that of TensorFlow 2.15 are not visited.

    Args:
        data: The bytes of the file.

    Raises:
        FlatbufferError: If an offset points outside of the file or to a place that is not aligned,
            or if parts that share bytes unfold to much more than the file.
    """
    if data[4:8] != b"TFL3":
        raise FlatbufferError("it lacks the identifier TFL3")
    verifier = _Verifier(data)
    verifier.table(verifier.follow(0), "Model")


class _Verifier:
    def __init__(self, data: bytes):
        self.data = data
        self.budget = _MOST_UNFOLDING * len(data) + _FREELY_UNFOLDED

    def visit(self, position: int, count: int, alignment: int) -> None:
        self.budget -= count
        if not 0 <= position <= len(self.data) - count or position % alignment or self.budget < 0:
            raise FlatbufferError("it is damaged or cut short")

    def number(self, form: str, position: int) -> int:
        size = struct.calcsize(form)
        self.visit(position, size, size)
        value: int = struct.unpack_from("<" + form, self.data, position)[0]
        return value

    def follow(self, position: int) -> int:
        offset = self.number("I", position)
        if offset == 0:
            raise FlatbufferError("it is damaged or cut short")
        return position + offset

    def vector(self, position: int, size: int) -> tuple[int, int]:
        """The place of the first element, and how many there are."""
        count = self.number("I", position)
        self.visit(position + 4, count * size, size)
        return position + 4, count

    def table(self, position: int, name: str) -> None:
        layout = position - self.number("i", position)
        layout_size, size = self.number("H", layout), self.number("H", layout + 2)
        if layout_size < 4 or layout_size % 2:
            raise FlatbufferError("it is damaged or cut short")
        self.visit(layout, layout_size, 2)
        self.visit(position, size, 4)
        fields = schema()[name]
        offsets = {
            number: self.number("H", layout + 4 + 2 * number)
            for number in fields
            if 4 + 2 * number < layout_size
        }
        for number, offset in offsets.items():
            field = fields[number]
            if offset == 0:
                continue
            if offset < 4 or offset + (field.size if field.kind == "s" else 4) > size:
                raise FlatbufferError("it is damaged or cut short")
            if field.kind == "u":
                before = offsets.get(number - 1)
                kind = self.number("B", position + before) if before else 0
                self.member(position + offset, field, kind)
            else:
                self.field(position + offset, field)

    def field(self, position: int, field: Field) -> None:
        if field.kind == "s":
            self.visit(position, field.size, field.size)
        elif field.kind == "v":
            self.vector(self.follow(position), field.size)
        elif field.kind == "S":
            first, count = self.vector(self.follow(position), 1)
            if self.number("B", first + count) != 0:
                raise FlatbufferError("it is damaged or cut short")
        elif field.kind == "t":
            self.table(self.follow(position), field.target)
        else:
            first, count = self.vector(self.follow(position), 4)
            for i in range(count):
                self.table(self.follow(first + 4 * i), field.target)

    def member(self, position: int, field: Field, kind: int) -> None:
        chosen = schema()[field.target].get(kind)
        if chosen is not None:  # readers ignore a type that they do not know
            self.table(self.follow(position), chosen.target)
