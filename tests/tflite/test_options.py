"""The options of custom operations: read flat and in bounded time, as flatbuffers reads them."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.tflite.flatbuffer import FlatbufferError
from s2bnn_tf.tflite.graph import TFLiteGraph
from s2bnn_tf.tflite.options import read_options

BCONV = {
    "channels_in": 64,
    "stride_height": 1,
    "stride_width": 2,
    "dilation_height_factor": 1,
    "dilation_width_factor": 1,
    "padding": 0,
    "pad_values": 1,
    "fused_activation_function": 3,
}


def shared_vectors(depth: int) -> bytes:
    """A map whose entry "a" holds a vector that holds the same vector twice, and so on."""
    integer, vector, map_ = 1 << 2, 10 << 2, 9 << 2  # type tags, for elements of one byte
    data = bytearray([2, 0, 0, integer, integer])  # a count, two values, and their types
    for _ in range(depth):  # offsets count backwards to the first value of the vector before
        data += bytes([2, 5, 6, vector, vector])
    value = len(data) - 4
    data += b"a\0" + bytes([1, 3])  # the keys: one, and the offset of its name
    data += bytes([1, 1, 1])  # the offset of the keys, their width, the map's count of entries
    data += bytes([len(data) - value, vector])
    return bytes(data + bytes([2, map_, 1]))  # the root: the offset of the map, its type, the width


def model_with_options(options: bytes) -> bytes:
    """A model of one LceBconv2d that has no inputs but these options."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = "LceBconv2d"
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [], []
    operator.customOptions = np.frombuffer(options, np.uint8)
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [], [], [], [operator]
    model = schema.ModelT()
    model.subgraphs, model.operatorCodes, model.buffers = [graph], [code], [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_vectors_that_share_their_parts():
    """About 200 bytes that unfold to 2^40 vectors, all of which flatbuffers would follow."""
    assert flexbuffers.Loads(shared_vectors(3))["a"][0][1][0] == [0, 0]
    options = shared_vectors(40)
    assert len(options) < 220
    assert read_options(options) == {}
    with pytest.raises(FlatbufferError, match="^a node LceBconv2d lacks an input or an output$"):
        TFLiteGraph(model_with_options(options))


@pytest.mark.parametrize(
    "options",
    [BCONV, {}, {"a": -1}, {"a": 1 << 40, "b": -(1 << 40)}, {"a": 300, "b": True, "c": False}],
)
def test_equal_to_flatbuffers(options):
    assert read_options(flexbuffers.Dumps(options)) == options


def test_other_values_are_left_out():
    data = flexbuffers.Dumps({"a": 1, "b": 1.5, "c": "text", "d": [1, [2]], "e": {"f": 1}, "g": 2})
    assert read_options(data) == {"a": 1, "g": 2}


@pytest.mark.parametrize("data", [b"\0", b"\1\2\3", b"\xff" * 64, flexbuffers.Dumps([1, 2])])
def test_bytes_that_are_no_map(data):
    with pytest.raises(FlatbufferError, match="options"):
        read_options(data)


def test_limits():
    names = {f"n{i}": i for i in range(64)}
    assert read_options(flexbuffers.Dumps(names)) == names
    with pytest.raises(FlatbufferError, match="it has 65 options"):
        read_options(flexbuffers.Dumps(names | {"more": 1}))
    assert read_options(flexbuffers.Dumps({"n" * 64: 1})) == {"n" * 64: 1}
    with pytest.raises(FlatbufferError, match="the name of an option does not end"):
        read_options(flexbuffers.Dumps({"n" * 65: 1}))


def test_every_byte_changed():
    data = flexbuffers.Dumps(BCONV)
    rng = np.random.default_rng(0)
    refused = 0
    for position in range(len(data)):
        for value in rng.integers(0, 256, 8):
            damaged = bytearray(data)
            damaged[position] = value
            try:
                result = read_options(bytes(damaged))
            except FlatbufferError:
                refused += 1
            else:
                assert all(isinstance(v, int) for v in result.values())
    assert refused > 50
