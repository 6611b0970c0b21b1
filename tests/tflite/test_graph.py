"""Reading the structure of a file, and surviving files that are damaged or of another kind."""

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.tflite.flatbuffer import FlatbufferError
from s2bnn_tf.tflite.graph import (
    TFLiteGraph,
    filter_exceeds_input,
    unpack_signs,
    with_outputs,
)

pytestmark = pytest.mark.both_sets

keras = tf.keras


@pytest.fixture(scope="module")
def model() -> bytes:
    """A float network made by TensorFlow's own converter."""
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3), 1)
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    x = keras.layers.Dense(5, bias_initializer="ones")(keras.layers.Flatten()(x))
    call = tf.function(keras.Model(image, x)).get_concrete_function(
        tf.TensorSpec((1, 6, 6, 3), tf.float32)
    )
    return tf.lite.TFLiteConverter.from_concrete_functions([call]).convert()


def test_reads_what_tensorflow_reads(model):
    graph = TFLiteGraph(model)
    interpreter = tf.lite.Interpreter(model_content=model)
    details = {item["index"]: item for item in interpreter.get_tensor_details()}
    for index, tensor in enumerate(graph.tensors):
        assert tensor.name == details[index]["name"]
        assert tensor.shape == tuple(details[index]["shape"])
        assert tensor.dtype == details[index]["dtype"]
    assert [item.name for item in graph.operations] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]
    assert [item["index"] for item in interpreter.get_input_details()] == list(graph.inputs)
    assert [item["index"] for item in interpreter.get_output_details()] == list(graph.outputs)
    # Kernels 4x3x3x3 and 5x64, and two biases.
    assert graph.constant_bytes(np.float32) == 4 * (108 + 4 + 320 + 5)
    assert graph.binary_convolutions() == []


def test_with_outputs_shows_what_is_inside(model):
    graph = TFLiteGraph(model)
    inner = graph.operations[0].outputs[0]
    changed = with_outputs(model, [inner, *graph.outputs])
    interpreter = tf.lite.Interpreter(model_content=changed)
    interpreter.allocate_tensors()
    image = np.random.default_rng(0).normal(size=(1, 6, 6, 3)).astype(np.float32)
    interpreter.set_tensor(graph.inputs[0], image)
    interpreter.invoke()
    kernel, bias = (graph.tensors[i].constant for i in graph.operations[0].inputs[1:])
    expected = tf.nn.relu(tf.nn.conv2d(image, kernel.transpose(1, 2, 3, 0), 1, "VALID") + bias)
    np.testing.assert_allclose(interpreter.get_tensor(inner), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"hello, I am text", bytes(64)])
def test_bytes_that_are_not_a_model(data):
    with pytest.raises(FlatbufferError, match="lacks the identifier"):
        TFLiteGraph(data)


def test_cut_short_anywhere(model):
    for length in range(8, len(model) - 8, 37):
        with pytest.raises(FlatbufferError, match="damaged or cut short"):
            TFLiteGraph(model[:length])


def test_damage_is_never_another_exception(model):
    """Wrong bytes in weights go unnoticed; anything else raises a FlatbufferError."""
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(model)
        for place in rng.integers(8, len(model), 5):
            damaged[place] = rng.integers(256)
        try:
            TFLiteGraph(bytes(damaged))
        except FlatbufferError:
            refused += 1
    assert refused > 100


def test_unpack_signs():
    words = np.array([[0b101, -(2**31)]], np.int32)
    signs = unpack_signs(words, 64)
    assert signs.shape == (1, 64)
    assert np.flatnonzero(signs[0] == -1).tolist() == [0, 2, 63]
    assert (np.abs(signs) == 1).all()
    np.testing.assert_array_equal(unpack_signs(words, 33), signs[:, :33])


@pytest.mark.parametrize(
    ("size", "kernel", "dilation", "padding", "pad_value", "exceeds"),
    [
        (2, 3, 1, "same", 0.0, True),
        (3, 3, 1, "same", 0.0, False),
        (4, 3, 2, "same", 0.0, True),
        (5, 3, 2, "same", 0.0, False),
        (2, 3, 1, "same", 1.0, False),
        (2, 1, 1, "same", 0.0, False),
        (5, 3, 2, "valid", 0.0, False),
    ],
)
def test_filter_larger_than_its_input(size, kernel, dilation, padding, pad_value, exceeds):
    from s2bnn_tf.export import convert_model

    lq = pytest.importorskip("larq")
    image = keras.Input((size, size, 4), 1)
    layer = lq.layers.QuantConv2D(
        8,
        kernel,
        dilation_rate=dilation,
        padding=padding,
        pad_values=pad_value,
        input_quantizer="ste_sign",
        kernel_quantizer=None,
        use_bias=False,
    )
    model = keras.Model(image, layer(image))
    layer.kernel.assign(np.where(layer.kernel.numpy() < 0, -1, 1))
    graph = TFLiteGraph(convert_model(model, output_name="features"))
    (operation,) = graph.binary_convolutions()
    assert filter_exceeds_input(graph, operation) is exceeds
