"""Bytes that are no whole flatbuffer, and graphs on which TensorFlow's own kernels would crash."""

from __future__ import annotations

import struct

import flatbuffers
import numpy as np
import pytest
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_tf.tflite.flatbuffer import FlatbufferError, verify
from s2bnn_tf.tflite.graph import TFLiteGraph


def reshape_model() -> schema.ModelT:
    """RESHAPE of (2, 3) to (6,), whose shape is a constant."""
    graph = schema.SubGraphT()
    graph.tensors = [schema.TensorT() for _ in range(3)]
    for index, (tensor, shape) in enumerate(zip(graph.tensors, ([2, 3], [1], [6]))):
        tensor.shape, tensor.name, tensor.buffer = shape, f"t{index}", int(index == 1)
    graph.tensors[1].type = schema.TensorType.INT32
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1], [2]
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [2]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    content = schema.BufferT()
    content.data = np.frombuffer(np.array([6], np.int32).tobytes(), np.uint8)
    model = schema.ModelT()
    model.subgraphs, model.operatorCodes, model.buffers = (
        [graph],
        [code],
        [schema.BufferT(), content],
    )
    return model


def pack(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_every_number_changed():
    """A changed offset is refused, never followed: the results are those of a slower search."""
    data = pack(reshape_model())
    verify(data)
    refused = 0
    for at in range(0, len(data) - 3, 4):
        for number in (0, 3, len(data), 2**31, 2**32 - 4):
            damaged = bytearray(data)
            struct.pack_into("<I", damaged, at, number)
            try:
                TFLiteGraph(bytes(damaged))
            except FlatbufferError:
                refused += 1
    assert refused > len(data) // 4


def test_a_negative_offset_is_refused():
    """Python would read from the end of the file, and C++ before its begin."""
    data = bytearray(pack(reshape_model()))
    root = struct.unpack_from("<I", data)[0]
    struct.pack_into("<i", data, root, root + 4 * len(data))  # its table of offsets
    with pytest.raises(FlatbufferError, match="damaged or cut short"):
        verify(bytes(data))


def test_parts_that_share_their_bytes():
    """160 KiB that unfold to 1.6 GB: 20,000 operations are one, whose 20,000 inputs are shared."""
    count = 20_000
    builder = flatbuffers.Builder(1 << 18)
    inputs = builder.CreateNumpyVector(np.zeros(count, np.int32))
    schema.OperatorStart(builder)
    schema.OperatorAddInputs(builder, inputs)
    operator = schema.OperatorEnd(builder)
    schema.SubGraphStartOperatorsVector(builder, count)
    for _ in range(count):
        builder.PrependUOffsetTRelative(operator)
    operators = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddOperators(builder, operators)
    graph = schema.SubGraphEnd(builder)
    schema.ModelStartSubgraphsVector(builder, 1)
    builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    with pytest.raises(FlatbufferError, match="damaged or cut short"):
        verify(bytes(builder.Output()))


def refuse(model: schema.ModelT, message: str) -> None:
    with pytest.raises(FlatbufferError, match=message):
        TFLiteGraph(pack(model))


def test_nodes_on_which_kernels_crash():
    assert TFLiteGraph(pack(reshape_model())).operations[0].name == "RESHAPE"
    model = reshape_model()
    model.subgraphs[0].operators[0].inputs = [0, -1]
    refuse(model, "^a node RESHAPE lacks input 1$")
    model = reshape_model()
    model.subgraphs[0].tensors[2].type = schema.TensorType.INT8
    refuse(model, "^a node RESHAPE changes the type of its input$")


@pytest.mark.parametrize("value", [0, -1, 65536])
@pytest.mark.parametrize(
    ("operator", "options", "field", "what"),
    [
        ("CONV_2D", "Conv2DOptions", "strideW", "stride"),
        ("CONV_2D", "Conv2DOptions", "dilationHFactor", "dilation"),
        ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", "strideH", "stride"),
        ("MAX_POOL_2D", "Pool2DOptions", "filterHeight", "filter size"),
        ("AVERAGE_POOL_2D", "Pool2DOptions", "filterWidth", "filter size"),
    ],
)
def test_windows(operator, options, field, what, value):
    model = reshape_model()
    model.operatorCodes[0].builtinCode = getattr(schema.BuiltinOperator, operator)
    model.operatorCodes[0].deprecatedBuiltinCode = model.operatorCodes[0].builtinCode
    node = model.subgraphs[0].operators[0]
    node.builtinOptionsType = getattr(schema.BuiltinOptions, options)
    node.builtinOptions = getattr(schema, f"{options}T")()
    for name in ("strideW", "strideH", "filterWidth", "filterHeight"):
        if hasattr(node.builtinOptions, name):
            setattr(node.builtinOptions, name, 1)
    TFLiteGraph(pack(model))
    setattr(node.builtinOptions, field, value)
    refuse(model, f"^a node {operator} has a {what} of {value}$")


def bconv_model() -> schema.ModelT:
    """One LceBconv2d from 32 channels to 8, of 1x1."""
    graph = schema.SubGraphT()
    graph.tensors = [schema.TensorT() for _ in range(5)]
    shapes = ([1, 2, 2, 1], [8, 1, 1, 1], [8], [8], [1, 2, 2, 8])
    for index, (tensor, shape) in enumerate(zip(graph.tensors, shapes)):
        tensor.shape, tensor.buffer = shape, index if 0 < index < 4 else 0
        tensor.type = schema.TensorType.INT32 if index < 2 else schema.TensorType.FLOAT32
    names = ("stride_height", "stride_width", "dilation_height_factor", "dilation_width_factor")
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1, 2, 3, -1], [4]
    operator.customOptions = options_of(
        dict.fromkeys(names, 1)
        | {"channels_in": 32, "padding": 0, "pad_values": 0, "fused_activation_function": 0}
    )
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [4]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = "LceBconv2d"
    model = schema.ModelT()
    model.buffers = [schema.BufferT() for _ in range(4)]
    for buffer in model.buffers[1:]:
        buffer.data = np.zeros(32, np.uint8)
    model.subgraphs, model.operatorCodes = [graph], [code]
    return model


def options_of(options: dict[str, int]) -> np.ndarray:
    return np.frombuffer(flexbuffers.Dumps(options), np.uint8)


def test_a_binary_convolution_on_which_larq_compute_engine_would_crash():
    (operation,) = TFLiteGraph(pack(bconv_model())).binary_convolutions()
    good = dict(operation.options)

    def refuse_with(message: str, **changes) -> None:
        model = bconv_model()
        for name, value in changes.items():
            setattr(model.subgraphs[0].operators[0], name, value)
        refuse(model, f"^a node LceBconv2d {message}")

    refuse_with("lacks an input or an output", inputs=[0, 1, 2, 3])
    refuse_with("lacks an input or an output", inputs=[-1, 1, 2, 3, -1])
    refuse_with("has no constant int32 as its input 1", inputs=[0, -1, 2, 3, -1])
    refuse_with("has no constant int32 as its input 1", inputs=[0, 0, 2, 3, -1])
    refuse_with("has no constant float32 as its input 2", inputs=[0, 1, -1, 3, -1])
    refuse_with("has no constant float32 as its input 3", inputs=[0, 1, 2, 1, -1])
    for name in good:
        others = {key: value for key, value in good.items() if key != name}
        refuse_with(f"lacks the option {name}", customOptions=options_of(others))
        refuse_with(f"has {name} = -1", customOptions=options_of(good | {name: -1}))
    refuse_with("has stride_width = 0", customOptions=options_of(good | {"stride_width": 0}))
    model = bconv_model()
    model.subgraphs[0].tensors[4].type = schema.TensorType.INT32
    refuse(model, "^a node LceBconv2d has no constant int32 as its input 4$")
    model = bconv_model()
    model.subgraphs[0].tensors[1].shape = [4, 2, 1, 1]
    refuse(model, r"^a node LceBconv2d has 4 channels and an input 2 of \(8,\)$")


def test_a_builtin_operator_with_the_name_of_a_custom_one():
    """TensorFlow goes by the number, so the name must not hide the operator."""
    model = reshape_model()
    model.operatorCodes[0].customCode = "LceQuantize"
    assert TFLiteGraph(pack(model)).operations[0].name == "RESHAPE"
    model.subgraphs[0].operators[0].inputs = [0, -1]
    refuse(model, "lacks input 1")
