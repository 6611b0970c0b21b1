"""The float kernels against TensorFlow Lite's reference kernels."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

RESOLVER = tf.lite.experimental.OpResolverType.BUILTIN_REF
RNG = np.random.default_rng(0)


def floats(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def check(compiled, model, x, flags=("-O1",)):
    interpreter = tf.lite.Interpreter(model_content=model, experimental_op_resolver_type=RESOLVER)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = compiled(model, *flags).run(x)
    for details, values in zip(interpreter.get_output_details(), found, strict=True):
        wanted = interpreter.get_tensor(details["index"]).ravel()
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(values, wanted, rtol=1e-6, atol=1e-6 * scale)


def one_operation(graphs, name, shape, made, constants=(), options=None):
    graph = graphs.Graph()
    x, y = graph.tensor(shape), graph.tensor(made)
    graph.builtin(name, [x, *map(graph.constant, constants)], y, options)
    return graph.build([x], [y])


def windowed(kind, padding, stride, *, dilation=1, activation=0, size=None):
    options = getattr(schema, kind)()
    options.padding = {"SAME": 0, "VALID": 1}[padding]
    options.strideH, options.strideW = stride
    options.fusedActivationFunction = activation
    if size is not None:
        options.filterHeight, options.filterWidth = size
    else:
        options.dilationHFactor = options.dilationWFactor = dilation
    return options


def made_size(height, width, size, stride, padding, dilation=1):
    covered = [(f - 1) * dilation if padding == "VALID" else 0 for f in size]
    return tuple(-(-(n - c) // s) for n, c, s in zip((height, width), covered, stride))


WINDOWS = [
    ("SAME", (1, 1), (3, 3), 1),
    ("VALID", (1, 1), (3, 2), 1),
    ("SAME", (2, 2), (3, 3), 1),
    ("VALID", (2, 1), (1, 1), 1),
    ("SAME", (1, 1), (3, 3), 2),
    ("SAME", (2, 3), (5, 4), 1),
]


@pytest.mark.parametrize(("padding", "stride", "size", "dilation"), WINDOWS)
@pytest.mark.parametrize("outputs", [5, 33])
def test_convolution(graphs, compiled, padding, stride, size, dilation, outputs):
    made = made_size(7, 9, size, stride, padding, dilation)
    options = windowed("Conv2DOptionsT", padding, stride, dilation=dilation, activation=3)
    constants = floats(outputs, *size, 3), floats(outputs)
    model = one_operation(graphs, "CONV_2D", (1, 7, 9, 3), (1, *made, outputs), constants, options)
    for flags in (("-O1",), ("-O1", "-march=native"), ("-O1", "-DS2BNN_PORTABLE")):
        check(compiled, model, floats(1, 7, 9, 3), flags)


def test_convolution_in_groups(graphs, compiled):
    options = windowed("Conv2DOptionsT", "SAME", (1, 1))
    constants = floats(20, 3, 3, 4), floats(20)
    model = one_operation(graphs, "CONV_2D", (1, 5, 6, 8), (1, 5, 6, 20), constants, options)
    check(compiled, model, floats(1, 5, 6, 8))


# TensorFlow Lite's own kernel refuses two different strides.
@pytest.mark.parametrize(
    ("padding", "stride", "size", "dilation"), [w for w in WINDOWS if len({*w[1]}) == 1]
)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise(graphs, compiled, padding, stride, size, dilation, multiplier):
    made = made_size(7, 9, size, stride, padding, dilation)
    options = windowed("DepthwiseConv2DOptionsT", padding, stride, dilation=dilation, activation=1)
    options.depthMultiplier = multiplier
    constants = floats(1, *size, 5 * multiplier), floats(5 * multiplier)
    model = one_operation(
        graphs, "DEPTHWISE_CONV_2D", (1, 7, 9, 5), (1, *made, 5 * multiplier), constants, options
    )
    check(compiled, model, floats(1, 7, 9, 5))


@pytest.mark.parametrize("name", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize(("padding", "stride", "size", "dilation"), WINDOWS)
def test_pooling(graphs, compiled, name, padding, stride, size, dilation):
    made = made_size(7, 9, size, stride, padding)
    options = windowed("Pool2DOptionsT", padding, stride, size=size, activation=2)
    model = one_operation(graphs, name, (1, 7, 9, 5), (1, *made, 5), (), options)
    check(compiled, model, floats(1, 7, 9, 5))


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("shape", [(1,), (6,), (1, 1, 1, 6), (1, 5, 4, 6)])
@pytest.mark.parametrize("first", [True, False])
def test_arithmetic_with_a_constant(graphs, compiled, name, shape, first):
    graph = graphs.Graph()
    x, y = graph.tensor((1, 5, 4, 6)), graph.tensor((1, 5, 4, 6))
    operands = [x, graph.constant(floats(*shape))]
    options = getattr(schema, f"{name.title()}OptionsT")()
    options.fusedActivationFunction = 1
    graph.builtin(name, operands if first else operands[::-1], y, options)
    check(compiled, graph.build([x], [y]), floats(1, 5, 4, 6))


@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
def test_arithmetic_of_maps_in_both_orders_and_with_itself(graphs, compiled, name):
    graph, shape = graphs.Graph(), (1, 5, 4, 6)
    options = getattr(schema, f"{name.title()}OptionsT")
    x, activated, first, second, y = (graph.tensor(shape) for _ in range(5))
    graph.builtin("LOGISTIC", [x], activated)
    graph.builtin(name, [x, activated], first, options())
    graph.builtin(name, [activated, first], second, options())
    graph.builtin(name, [second, second], y, options())
    check(compiled, graph.build([x], [first, y]), floats(*shape))


@pytest.mark.parametrize("name", ["MUL", "SUB"])
@pytest.mark.parametrize("first", [True, False])
def test_a_gate_for_each_channel(graphs, compiled, name, first):
    graph, shape = graphs.Graph(), (1, 5, 4, 6)
    x, gate, y = graph.tensor(shape), graph.tensor((1, 1, 1, 6)), graph.tensor(shape)
    mean = graph.tensor((1, 1, 1, 6))
    keep = schema.ReducerOptionsT()
    keep.keepDims = True
    graph.builtin("MEAN", [x, graph.constant(np.array([1, 2], np.int32))], mean, keep)
    graph.builtin("LOGISTIC", [mean], gate)
    graph.builtin(
        name, [gate, x] if first else [x, gate], y, getattr(schema, f"{name.title()}OptionsT")()
    )
    check(compiled, graph.build([x], [y]), floats(*shape))


@pytest.mark.parametrize(
    "name", ["RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "HARD_SWISH"]
)
def test_activations(graphs, compiled, name):
    model = one_operation(graphs, name, (1, 5, 4, 6), (1, 5, 4, 6))
    check(compiled, model, 4 * floats(1, 5, 4, 6))


@pytest.mark.parametrize("shape", [(1, 1, 6), (1, 1, 1)])
def test_prelu(graphs, compiled, shape):
    model = one_operation(graphs, "PRELU", (1, 5, 4, 6), (1, 5, 4, 6), [floats(*shape)])
    check(compiled, model, floats(1, 5, 4, 6))


@pytest.mark.parametrize("axis", [3, -1])
def test_concatenation(graphs, compiled, axis):
    graph, shape = graphs.Graph(), (1, 5, 4, 6)
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    x, activated, y = graph.tensor(shape), graph.tensor(shape), graph.tensor((1, 5, 4, 18))
    graph.builtin("TANH", [x], activated)
    graph.builtin("CONCATENATION", [x, activated, x], y, options)
    check(compiled, graph.build([x], [y]), floats(*shape))


@pytest.mark.parametrize("outputs", [5, 16, 33])
def test_dense(graphs, compiled, outputs):
    constants = floats(outputs, 60), floats(outputs)
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = 1
    model = one_operation(graphs, "FULLY_CONNECTED", (1, 60), (1, outputs), constants, options)
    check(compiled, model, floats(1, 60))


def test_borders(graphs, compiled):
    borders = np.array([[0, 0], [1, 2], [3, 0], [0, 0]], np.int32)
    model = one_operation(
        graphs, "PAD", (1, 5, 4, 6), (1, 8, 7, 6), [borders], schema.PadOptionsT()
    )
    check(compiled, model, floats(1, 5, 4, 6))
    model = one_operation(
        graphs, "PADV2", (1, 5, 4, 6), (1, 8, 7, 6), [borders, floats(1)], schema.PadV2OptionsT()
    )
    check(compiled, model, floats(1, 5, 4, 6))


@pytest.mark.parametrize("axes", [[1], [2], [1, 2]])
def test_a_map_turned_around(graphs, compiled, axes):
    axes = np.array(axes, np.int32)
    model = one_operation(graphs, "REVERSE_V2", (1, 5, 4, 6), (1, 5, 4, 6), [axes])
    check(compiled, model, floats(1, 5, 4, 6))


def test_softmax_and_unit_length(graphs, compiled):
    options = schema.SoftmaxOptionsT()
    options.beta = 2.0
    model = one_operation(graphs, "SOFTMAX", (1, 60), (1, 60), (), options)
    check(compiled, model, floats(1, 60))
    options = schema.L2NormOptionsT()
    model = one_operation(graphs, "L2_NORMALIZATION", (1, 60), (1, 60), (), options)
    check(compiled, model, floats(1, 60))
    assert not any(compiled(model).run(np.zeros((1, 60), np.float32))[0])
