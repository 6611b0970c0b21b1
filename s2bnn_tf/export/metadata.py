"""TFLite metadata: what a `.tflite` takes and gives, in a form that other tools read.

The metadata is a flatbuffer of its own in a buffer of the model. Files, here the names of the
classes, are a zip archive behind the model. Schema: `metadata_schema.fbs` of TFLite Support,
https://ai.google.dev/edge/litert/conversion/tensorflow/metadata.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import flatbuffers
import numpy as np

from s2bnn_tf.tflite import append_metadata, read_tables, write_tables

LABELS = "labels.txt"
_FIELD = b"TFLITE_METADATA"
_IDENTIFIER = b"M001"
_PARSER = "1.0.0"  # the oldest version that reads all of this
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can hold
_IMAGE, _FEATURES = 2, 1  # of the union ContentProperties
_NORMALIZATION = 1  # of the union ProcessUnitOptions
_RGB, _GRAY = 1, 2
_AXIS_LABELS = 2
_TEXTS = {
    "features": "Features of the image.",
    "embedding": "The image's embedding.",
    "teacher_embedding": "The image's embedding in the space of the teacher.",
    "logits": "A logit for each class.",
    "map": "Features of each place: rows, columns, channels.",
}
# A field of a table: its number, its kind, and its value, which of an "offset" is where it starts.
Field = tuple[int, str, int]


def add_metadata(model: bytes, *, labels: Sequence[str] | None = None) -> bytes:
    """Add metadata to a model that takes an image of values from 0 to 255.

    Args:
        model: A `.tflite` with one input `(1, H, W, C)`.
        labels: The names of the classes, if it has one output of a value for each class.

    Returns:
        The same network. The same model and labels give the same bytes.
    """
    tables = read_tables(model)
    (graph,) = tables.tables("subgraphs")
    names = [tensor.vector("name").tobytes().decode() for tensor in graph.tables("tensors")]
    (image,) = graph.vector("inputs")
    outputs = [names[index] for index in graph.vector("outputs")]
    shape = graph.tables("tensors")[image].vector("shape").tolist()
    append_metadata(tables, _FIELD, _describe(names[image], shape, outputs, labels is not None))
    file = io.BytesIO()
    file.write(write_tables(tables))
    if labels is not None:
        with zipfile.ZipFile(file, "a") as archive:
            text = "".join(f"{label}\n" for label in labels)
            archive.writestr(zipfile.ZipInfo(LABELS, _EARLIEST), text)
    return file.getvalue()


def _describe(name: str, shape: Sequence[int], outputs: list[str], labeled: bool) -> bytes:
    """The metadata of a network with an image as input."""
    builder = flatbuffers.Builder(1024)
    given = _vector(builder, [_image(builder, name, shape)])
    taken = _vector(builder, [_output(builder, output, labeled) for output in outputs])
    graph = _table(builder, (2, "offset", given), (3, "offset", taken))
    graphs = _vector(builder, [graph])
    model = _table(
        builder,
        (0, "offset", builder.CreateString("s2bnn_tf")),
        (3, "offset", graphs),
        (7, "offset", builder.CreateString(_PARSER)),
    )
    builder.Finish(model, file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _image(builder: flatbuffers.Builder, name: str, shape: Sequence[int]) -> int:
    """TensorMetadata of the input: the network normalizes, so its mean is 0 and its deviation 1."""
    channels = int(shape[3])
    size = _table(builder, (0, "uint32", shape[2]), (1, "uint32", shape[1]))
    color = _RGB if channels == 3 else _GRAY
    properties = _table(builder, (0, "byte", color), (1, "offset", size))
    mean, deviation, least, most = (
        builder.CreateNumpyVector(np.full(channels, value, np.float32)) for value in (0, 1, 0, 255)
    )
    normalization = _table(builder, (0, "offset", mean), (1, "offset", deviation))
    unit = _table(builder, (0, "byte", _NORMALIZATION), (1, "offset", normalization))
    described = "RGB image, 0 to 255." if channels == 3 else "Gray image, 0 to 255."
    return _table(
        builder,
        (0, "offset", builder.CreateString(name)),
        (1, "offset", builder.CreateString(described)),
        (3, "offset", _content(builder, _IMAGE, properties)),
        (4, "offset", _vector(builder, [unit])),
        (5, "offset", _table(builder, (0, "offset", most), (1, "offset", least))),
    )


def _output(builder: flatbuffers.Builder, name: str, labeled: bool) -> int:
    """TensorMetadata of an output."""
    fields: list[Field] = [
        (0, "offset", builder.CreateString(name)),
        (1, "offset", builder.CreateString(_TEXTS.get(name, "An output."))),
        (3, "offset", _content(builder, _FEATURES, _table(builder))),
    ]
    if labeled:
        file = _table(
            builder,
            (0, "offset", builder.CreateString(LABELS)),
            (1, "offset", builder.CreateString("The classes, one in a line.")),
            (2, "byte", _AXIS_LABELS),
        )
        fields.append((6, "offset", _vector(builder, [file])))
    return _table(builder, *fields)


def _content(builder: flatbuffers.Builder, kind: int, properties: int) -> int:
    return _table(builder, (0, "byte", kind), (1, "offset", properties))


def _table(builder: flatbuffers.Builder, *fields: Field) -> int:
    """Write a table whose fields have no default but 0, and return where it starts."""
    builder.StartObject(max((number for number, _, _ in fields), default=-1) + 1)
    for number, kind, value in fields:
        if kind == "offset":
            builder.PrependUOffsetTRelativeSlot(number, int(value), 0)
        elif kind == "byte":
            builder.PrependInt8Slot(number, int(value), 0)
        else:
            builder.PrependUint32Slot(number, int(value), 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, tables: list[int]) -> int:
    """Write a vector of tables."""
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())
