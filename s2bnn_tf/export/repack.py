"""A `.tflite` that was changed as objects, written as bytes again."""

from __future__ import annotations

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

_ALIGNMENT = 16  # bytes, as the schema demands of constants, which are used where they lie


def repack(flat: schema.ModelT) -> bytes:
    """The bytes of a model, with every constant where the schema wants it."""
    for buffer in flat.buffers:
        buffer.__class__ = _AlignedBuffer
    builder = flatbuffers.Builder(1024)
    builder.Finish(flat.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _AlignedBuffer(schema.BufferT):
    """A buffer whose data is aligned, which `BufferT.Pack` forgets."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802, the name of its base
        content = None if self.data is None else np.asarray(self.data, np.uint8).tobytes()
        if content is not None:
            builder.StartVector(1, len(content), _ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            data = builder.EndVector()
        schema.BufferStart(builder)
        if content is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))
