"""The bytes that come out: names, shapes, operations; and what is shown on the way."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.errors import UserError
from s2bnn_tf.export import convert, convert_model
from s2bnn_tf.export.operations import operation_table
from s2bnn_tf.export.terminal import captured_terminal
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.tflite.graph import TFLiteGraph

pytestmark = pytest.mark.both_sets

keras = tf.keras


def counts(graph: TFLiteGraph) -> dict[str, int]:
    return {row["name"]: row["count"] for row in operation_table(graph)}


def test_reactnet_has_the_fewest_operations_possible(small_model):
    """Per binary convolution: add, quantize, convolve, add the shortcut, PReLU. Nothing else."""
    assert counts(TFLiteGraph(small_model)) == {
        "LceBconv2d": 26,
        "LceQuantize": 26,
        "PRELU": 26,
        "ADD": 54,  # two for each, one to normalize, the last shift
        "CONCATENATION": 5,
        "AVERAGE_POOL_2D": 3,
        "CONV_2D": 1,
        "MUL": 1,
        "MEAN": 1,
    }


def test_input_and_output(small_model):
    graph = TFLiteGraph(small_model)
    (image,), (output,) = graph.inputs, graph.outputs
    assert graph.tensors[image].name == "image"
    assert graph.tensors[image].shape == (1, 32, 32, 3)
    assert graph.tensors[image].dtype == np.float32
    assert graph.tensors[output].name == "features"
    assert graph.tensors[output].shape == (1, 256)


def test_normalization_is_not_folded_into_the_padded_stem(small_model):
    graph = TFLiteGraph(small_model)
    assert [item.name for item in graph.operations[:3]] == ["MUL", "ADD", "CONV_2D"]
    scale = graph.tensors[graph.operations[0].inputs[1]].constant
    np.testing.assert_allclose(scale, 1 / (255 * np.array([0.229, 0.224, 0.225])), rtol=1e-6)


@pytest.mark.parametrize(
    ("head", "name", "width"), [("projection", "embedding", 16), ("linear", "logits", 3)]
)
def test_heads_name_their_output(wrap, head, name, width):
    encoder = wrap(lambda image: BinaryConv2D(12, 3)(image), embedding_dim=16)
    probe = (np.ones((12, 3), np.float32), np.zeros(3, np.float32))
    graph = TFLiteGraph(convert(encoder, image_size=8, head=head, probe=probe))
    output = graph.tensors[graph.outputs[0]]
    assert (output.name, output.shape) == (name, (1, width))


def test_weights_of_one_bit_take_one_bit(small_encoder, small_model):
    binary = sum(
        int(tf.size(layer.kernel))
        for layer in small_encoder.backbone.layers
        if "block" in layer.name and hasattr(layer, "kernel")
    )
    stored = TFLiteGraph(small_model).constant_bytes(np.int32)
    # Channels are stored in words of 32; the narrow layers of this network fill them partly.
    assert binary / 8 < stored < binary / 8 * 1.1


@keras.utils.register_keras_serializable(package="test_convert")
class InPython(keras.layers.Layer):
    def call(self, inputs):
        outputs = tf.py_function(lambda x: x, [inputs], tf.float32)
        outputs.set_shape(inputs.shape)
        return outputs


def test_operation_that_no_device_has_is_named(wrap):
    encoder = wrap(lambda image: InPython()(image))
    with pytest.raises(UserError, match=r"TensorFlow Lite lacks \(EagerPyFunc\)"):
        convert(encoder, image_size=8)


def test_captured_terminal(capfd):
    with captured_terminal() as log:
        os.write(1, b"one ")
        os.write(2, b"two ")
        print("three", file=sys.__stderr__, flush=True)
        assert log.read() == "one two three"
    os.write(2, b"after")
    assert capfd.readouterr() == ("", "after")


def test_captured_terminal_is_given_back_after_an_error(capfd):
    with pytest.raises(RuntimeError), captured_terminal():
        raise RuntimeError
    os.write(1, b"after")
    assert capfd.readouterr().out == "after"


def test_terminal_stays_clean_and_works_afterwards(tmp_path):
    """In a process of its own: the converter writes to the file descriptors."""
    code = """
import logging, sys
import tensorflow as tf
from s2bnn_tf.export import convert_model
image = tf.keras.Input((8, 8, 3), 1)
model = tf.keras.Model(image, tf.keras.layers.Conv2D(4, 3)(image))
print("before")
data = convert_model(model, output_name="features")
print("after", len(data) > 0)
print("error stream works", file=sys.stderr)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout == "before\nafter True\n"
    assert done.stderr == "error stream works\n"


def test_variables_of_every_kind_are_frozen():
    """Integers and scalars too, read once or twice."""
    image = keras.Input((4, 4, 3), 1)

    class Own(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
            self.index = self.add_weight(
                name="index", shape=(2,), dtype="int32", trainable=False, initializer="zeros"
            )

        def call(self, inputs):
            picked = tf.gather(inputs, self.index, axis=3)
            return tf.reduce_sum(picked * self.scale + self.scale, axis=(1, 2))

    layer = Own()
    model = keras.Model(image, layer(image))
    layer.scale.assign(2.0)
    layer.index.assign([2, 0])
    data = convert_model(model, output_name="features")
    interpreter = tf.lite.Interpreter(model_content=data)
    interpreter.allocate_tensors()
    picture = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
    interpreter.invoke()
    (output,) = (interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details())
    np.testing.assert_allclose(output, 2 * picture[..., [2, 0]].sum(axis=(1, 2)) + 32, rtol=1e-5)
