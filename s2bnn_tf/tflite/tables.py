"""The tables of a `.tflite` as Python objects, which can be changed and written again.

TensorFlow has generated code for this, in a module that its later versions lose. What no name below
stands for is kept as bytes, and so comes out as it went in.
"""

from __future__ import annotations

import functools
import struct
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.tflite.flatbuffer import Field, schema, verify

# The fields that this package reads, by their numbers in TensorFlow's schema.fbs. Their elements
# are integers (i), integers without a sign (u) or floats (f); a number behind it is the default.
_NAMES = """
Model operator_codes=1 subgraphs=2 buffers=4 metadata=6 signature_defs=7
OperatorCode deprecated_builtin_code=0i custom_code=1u version=2i1 builtin_code=3i
SubGraph tensors=0 inputs=1i outputs=2i operators=3
Buffer data=0u
Metadata name=0u buffer=1u
Tensor shape=0i type=1i buffer=2u name=3u quantization=4 is_variable=5u shape_signature=7i
Operator opcode_index=0u inputs=1i outputs=2i builtin_options=4 custom_options=5u
QuantizationParameters scale=2f zero_point=3i quantized_dimension=6i
Conv2DOptions padding=0i stride_w=1i stride_h=2i activation=3i dilation_w=4i1 dilation_h=5i1
DepthwiseConv2DOptions padding=0i stride_w=1i stride_h=2i activation=4i dilation_w=5i1 \
  dilation_h=6i1
Pool2DOptions padding=0i stride_w=1i stride_h=2i filter_width=3i filter_height=4i activation=5i
FullyConnectedOptions activation=0i
AddOptions activation=0i
SubOptions activation=0i
MulOptions activation=0i
DivOptions activation=0i
SoftmaxOptions beta=0f
ConcatenationOptions axis=0i activation=1i
TransposeConvOptions stride_w=1i stride_h=2i
"""
_FOR_KERNELS = 16  # bytes to which the schema aligns the content of a buffer


class _Name(NamedTuple):
    number: int
    kind: str
    default: int


@functools.cache
def _names() -> dict[str, dict[str, _Name]]:
    tables: dict[str, dict[str, _Name]] = {}
    for line in _NAMES.split("\n")[1:-1]:
        table, *words = line.split()
        tables[table] = {}
        for word in words:
            name, text = word.split("=")
            kind = text.lstrip("0123456789")
            number = text[: len(text) - len(kind)]
            tables[table][name] = _Name(int(number), kind[:1], int(kind[1:] or 0))
    return tables


class Table:
    """A table of a `.tflite`.

    Args:
        kind: Its name in the schema, such as "Tensor".

    Attributes:
        kind: Its name in the schema.
        fields: Its fields by their numbers: bytes, little-endian, of a scalar, a string or a vector
            of scalars; or a table, or a list of tables.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self.fields: dict[int, Any] = {}

    def has(self, name: str) -> bool:
        """Whether the file has this field."""
        return _names()[self.kind][name].number in self.fields

    def number(self, name: str) -> int:
        """A scalar, or its default where the file does not have it."""
        number, kind, default = _names()[self.kind][name]
        value = self.fields.get(number)
        return default if value is None else int.from_bytes(value, "little", signed=kind == "i")

    def values(self) -> dict[str, Any]:
        """All scalars of a table that have a name here, or their defaults."""
        found: dict[str, Any] = {}
        for name, (number, kind, default) in _names().get(self.kind, {}).items():
            if kind == "f":
                value = self.fields.get(number)
                found[name] = float(default) if value is None else struct.unpack("<f", value)[0]
            elif kind:
                found[name] = self.number(name)
        return found

    def vector(self, name: str) -> NDArray[Any]:
        """A string or a vector of scalars, empty where the file does not have it."""
        number, kind, _ = _names()[self.kind][name]
        size = schema()[self.kind][number].size if self._is_vector(number) else 1
        return np.frombuffer(self.fields.get(number, b""), f"<{kind}{size}")

    def table(self, name: str) -> Table | None:
        """The table of a field or of a union, or None."""
        value = self.fields.get(_names()[self.kind][name].number)
        return value if isinstance(value, Table) else None

    def tables(self, name: str) -> list[Table]:
        """The tables of a field; raises LookupError where the file does not have it."""
        value: list[Table] = self.fields[_names()[self.kind][name].number]
        return value

    def set(self, name: str, value: Any) -> None:
        """Give a field a number, a sequence of numbers, bytes, a table, or a list of tables."""
        number, kind, _ = _names()[self.kind][name]
        if kind and not isinstance(value, bytes):
            value = np.asarray(value).astype(f"<{kind}{schema()[self.kind][number].size}").tobytes()
        self.fields[number] = value

    def remove(self, name: str) -> None:
        """Leave a field out of the file."""
        self.fields.pop(_names()[self.kind][name].number, None)

    def _is_vector(self, number: int) -> bool:
        return schema()[self.kind][number].kind == "v"


def read_tables(data: bytes) -> Table:
    """Read the bytes of a `.tflite` as its table `Model`.

    Raises:
        FlatbufferError: If they are no whole flatbuffer; see `verify`.
    """
    verify(data)
    return _read(data, _follow(data, 0), "Model")


def write_tables(model: Table) -> bytes:
    """Write a table `Model` as the bytes of a `.tflite`."""
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(_write(builder, model), file_identifier=b"TFL3")
    return bytes(builder.Output())


def append_metadata(model: Table, name: bytes, content: bytes) -> None:
    """Add an entry to the metadata of a table `Model`, in a buffer of its own."""
    buffer, entry = Table("Buffer"), Table("Metadata")
    buffer.set("data", content)
    entry.set("name", name)
    entry.set("buffer", len(model.tables("buffers")))
    model.tables("buffers").append(buffer)
    model.set("metadata", [*(model.tables("metadata") if model.has("metadata") else []), entry])


def _follow(data: bytes, position: int) -> int:
    return position + int(struct.unpack_from("<I", data, position)[0])


def _read(data: bytes, position: int, kind: str) -> Table:
    """Read a table of a file that is verified, so that no offset is checked here."""
    result = Table(kind)
    layout = position - struct.unpack_from("<i", data, position)[0]
    (size,) = struct.unpack_from("<H", data, layout)
    for number, field in schema()[kind].items():
        if 4 + 2 * number >= size:
            continue
        (offset,) = struct.unpack_from("<H", data, layout + 4 + 2 * number)
        if field.kind == "u":
            kind_of_union = int.from_bytes(result.fields.get(number - 1, b""), "little")
            chosen = schema()[field.target].get(kind_of_union)
            if chosen is None:  # readers ignore a type that they do not know
                continue
            field = chosen
        if offset:
            result.fields[number] = _read_value(data, position + offset, field)
    return result


def _read_value(data: bytes, position: int, field: Field) -> Any:
    if field.kind == "s":
        return data[position : position + field.size]
    first = _follow(data, position)
    if field.kind in "tm":
        return _read(data, first, field.target)
    (count,) = struct.unpack_from("<I", data, first)
    first += 4
    if field.kind == "T":
        places = range(first, first + 4 * count, 4)
        return [_read(data, _follow(data, place), field.target) for place in places]
    return data[first : first + count * (field.size if field.kind == "v" else 1)]


def _write(builder: flatbuffers.Builder, table: Table) -> int:
    layout = schema()[table.kind]
    numbers = sorted(table.fields)
    places = {
        number: _write_value(builder, table, number)
        for number in numbers
        if layout[number].kind != "s"
    }
    builder.StartObject(max(numbers, default=-1) + 1)
    for number in numbers:
        if number in places:
            builder.PrependUOffsetTRelative(places[number])
        else:
            prepend = getattr(builder, f"PrependUint{8 * layout[number].size}")
            prepend(int.from_bytes(table.fields[number], "little"))
        builder.Slot(number)
    return int(builder.EndObject())


def _write_value(builder: flatbuffers.Builder, table: Table, number: int) -> int:
    field, value = schema()[table.kind][number], table.fields[number]
    if field.kind == "S":
        return int(builder.CreateString(value))
    if isinstance(value, Table):
        return _write(builder, value)
    if isinstance(value, bytes):
        if table.kind == "Buffer":
            builder.Prep(_FOR_KERNELS, len(value))
        return int(builder.CreateNumpyVector(np.frombuffer(value, f"<u{field.size}")))
    places = [_write(builder, item) for item in value]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())
