"""Small ONNX files, written field by field: also those that no exporter would write."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

FLOAT, INT64, UINT8 = 1, 7, 2


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value % 2**64)


def part(field: int, value: bytes | str) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    found = b""
    while value >= 128:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def tensor(name: str, values, *, location: str | None = None, length: int | None = None) -> bytes:
    """A tensor with its values, or with the place of those in another file."""
    values = np.asarray(values)
    kind = INT64 if values.dtype.kind == "i" else FLOAT
    data = values.astype("<i8" if kind == INT64 else "<f4").tobytes()
    head = b"".join(number(1, size) for size in values.shape) + number(2, kind) + part(8, name)
    if location is None:
        return head + part(9, data)
    entries = {"location": location, "offset": "0", "length": str(length or len(data))}
    pairs = (part(13, part(1, key) + part(2, value)) for key, value in entries.items())
    return head + b"".join(pairs) + number(14, 1)


def node(kind: str, inputs: str, outputs: str, **attributes) -> bytes:
    found = b"".join(part(1, name) for name in inputs.split())
    found += b"".join(part(2, name) for name in outputs.split()) + part(4, kind)
    for name, value in attributes.items():
        if isinstance(value, list):
            inner = b"".join(number(8, item) for item in value) + number(20, 7)
        elif isinstance(value, float):
            inner = varint(2 << 3 | 5) + struct.pack("<f", value) + number(20, 1)
        elif isinstance(value, bytes):
            inner = part(5, value) + number(20, 4)
        else:
            inner = number(3, value) + number(20, 2)
        found += part(5, part(1, name) + inner)
    return found


def value(name: str, shape, kind: int = FLOAT) -> bytes:
    """An input or output; sizes are numbers, or names of any size."""
    sizes = (number(1, s) if isinstance(s, int) else part(2, s) for s in shape)
    dims = b"".join(part(1, size) for size in sizes)
    return part(1, name) + part(2, part(1, number(1, kind) + part(2, dims)))


def model(nodes, inputs, outputs, tensors=(), *, metadata=(), opset: int = 13) -> bytes:
    graph = b"".join(part(1, each) for each in nodes) + part(2, "g")
    graph += b"".join(part(5, each) for each in tensors)
    graph += b"".join(part(11, each) for each in inputs)
    graph += b"".join(part(12, each) for each in outputs)
    entries = (part(14, part(1, key) + part(2, text)) for key, text in dict(metadata).items())
    return number(1, 7) + part(8, number(2, opset)) + part(7, graph) + b"".join(entries)


IMAGE = ("n", 3, "h", "w")


def means(path: Path, *before: bytes, image=IMAGE, kind=FLOAT, last="image", **options) -> Path:
    """A network whose features are the means of its channels, behind other operations."""
    mean = node("ReduceMean", last, "mean", axes=[2, 3], keepdims=0)
    outputs = [value("mean", ("n", 3))]
    path.write_bytes(model([*before, mean], [value("image", image, kind)], outputs, **options))
    return path
