"""The name of a space is read from a file that may be damaged anywhere."""

from __future__ import annotations

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_runtime.metadata import space_in


def model_with(name: bytes, content: bytes) -> bytes:
    flat, entry, first, buffer = (
        kind() for kind in (schema.ModelT, schema.MetadataT, schema.BufferT, schema.BufferT)
    )
    buffer.data = np.frombuffer(content, np.uint8)
    entry.name, entry.buffer = name, 1
    flat.version, flat.buffers, flat.metadata = 3, [first, buffer], [entry]
    builder = flatbuffers.Builder(0)
    builder.Finish(flat.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_the_space_of_a_file():
    assert space_in(model_with(b"s2bnn_space", b"of a teacher")) == "of a teacher"
    assert space_in(model_with(b"min_runtime_version", b"2.3.0")) is None
    assert space_in(model_with(b"s2bnn_space", b"\xff\xfe")) is None
    assert space_in(b"") is None


def test_damage_is_no_space_and_no_crash():
    whole = model_with(b"s2bnn_space", b"of a teacher")
    for end in range(len(whole)):
        assert space_in(whole[:end]) in (None, *("of a teacher"[:n] for n in range(1, 13)))
    rng = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        assert isinstance(space_in(bytes(damaged)), str | None)
