"""Tables that are read, changed and written again, compared with TensorFlow's generated code."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.tflite import Table, TFLiteGraph, read_tables, write_tables
from s2bnn_tf.tflite.tables import _names

pytestmark = pytest.mark.both_sets

FILES = Path(__file__).resolve().parents[1] / "compat/data/0.1.0"


@pytest.fixture(scope="module", params=["student", "classifier"])
def data(request) -> bytes:
    return (FILES / f"{request.param}.tflite").read_bytes()


def plain(value: object) -> object:
    """What generated objects hold, as lists and numbers that can be compared."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if hasattr(value, "__dict__"):
        return {name: plain(item) for name, item in vars(value).items()}
    return value


def theirs(data: bytes) -> schema.ModelT:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))


def test_what_is_written_is_what_was_read(data):
    written = write_tables(read_tables(data))
    assert plain(theirs(written)) == plain(theirs(data))
    assert len(written) < 1.02 * len(data) + 1024


def test_constants_lie_where_kernels_want_them(data):
    written = write_tables(read_tables(data))
    for buffer in read_tables(written).tables("buffers"):
        content = buffer.vector("data").tobytes()
        if len(content) > 64:
            assert written.index(content) % 16 == 0


def test_every_name_is_that_of_the_schema(data):
    """Each field that has a name here is the one that TensorFlow's code calls so."""
    flat, ours = theirs(data), read_tables(data)
    pairs = [(flat, ours)]
    pairs += zip(flat.operatorCodes, ours.tables("operator_codes"))
    (graph,) = ours.tables("subgraphs")
    pairs += [(flat.subgraphs[0], graph)]
    pairs += zip(flat.subgraphs[0].tensors, graph.tables("tensors"))
    pairs += zip(flat.subgraphs[0].operators, graph.tables("operators"))
    pairs += zip(flat.buffers, ours.tables("buffers"))
    pairs += zip(flat.metadata, ours.tables("metadata"))
    for operator, mine in zip(flat.subgraphs[0].operators, graph.tables("operators")):
        if mine.table("builtin_options") is not None:
            pairs.append((operator.builtinOptions, mine.table("builtin_options")))
    compared = 0
    for generated, table in pairs:
        assert type(generated).__name__ == table.kind + "T"
        for name, (_, kind, _) in _names().get(table.kind, {}).items():
            wanted = getattr(generated, camel(name))
            if isinstance(wanted, int | bool):
                assert table.number(name) == table.values()[name] == wanted, (table.kind, name)
            elif isinstance(wanted, float):
                assert table.values()[name] == wanted
            elif kind:
                wanted = np.frombuffer(wanted, "u1") if isinstance(wanted, bytes) else wanted
                assert table.vector(name).tolist() == ([] if wanted is None else list(wanted))
            compared += 1
    assert compared > 100


def camel(name: str) -> str:
    name = name.replace("dilation_w", "dilation_w_factor").replace(
        "dilation_h", "dilation_h_factor"
    )
    name = name.replace("activation", "fused_activation_function")
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


@pytest.mark.parametrize("kind", sorted(_names()))
def test_what_a_name_sets_is_what_tensorflow_reads(kind):
    """Of tables that the files do not have, too, such as the options of pooling."""
    builder_of = getattr(schema, kind)
    for name, (_, kind_of_field, default) in _names()[kind].items():
        generated = getattr(schema, f"{kind}T")()
        field = getattr(generated, camel(name))
        if not kind_of_field or field is None:
            continue  # tables and vectors, which the files above have
        table = Table(kind)
        assert table.number(name) == field == default
        table.set(name, 1 - default)
        data = as_root(table)
        found = getattr(
            getattr(schema, f"{kind}T").InitFromObj(builder_of.GetRootAs(data)), camel(name)
        )
        assert found == 1 - default, name


def as_root(table: Table) -> bytes:
    import flatbuffers

    from s2bnn_tf.tflite import tables

    builder = flatbuffers.Builder(64)
    builder.Finish(tables._write(builder, table))
    return bytes(builder.Output())


def test_a_number_is_unsigned_where_the_schema_says_so():
    """A buffer of -1 would be the last one in Python."""
    table = Table("Tensor")
    table.fields[2] = struct.pack("<i", -1)
    assert table.number("buffer") == 2**32 - 1


def test_later_fields_do_not_disturb(data):
    """A union whose type is unknown has no table, as for every reader of flatbuffers."""
    model = read_tables(data)
    operator = model.tables("subgraphs")[0].tables("operators")[0]
    operator.fields[3] = b"\xff"
    again = read_tables(write_tables(model))
    assert again.tables("subgraphs")[0].tables("operators")[0].table("builtin_options") is None
    TFLiteGraph(data)
