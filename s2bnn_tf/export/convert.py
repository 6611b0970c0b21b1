"""From an encoder to the bytes of a `.tflite`, in seconds.

Saving a Keras model, as `larq_compute_engine.convert_keras_model` does, spends most of its time
tracing every layer several times and handling the weights in pure-Python protobuf. Here the
deployed network is traced once, its variables are written into the traced graph as constants,
and the graph goes to the converter as it is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.errors import UserError
from s2bnn_tf.export.fold import Probe, deployment_model
from s2bnn_tf.weights.tflite_model import OUTPUT_NAMES

keras = tf.keras

_log = logging.getLogger(__name__)


def convert(
    encoder: Encoder, *, image_size: int, head: str = "none", probe: Probe | None = None
) -> bytes:
    """Convert an encoder, without verifying the result; `export_encoder` does both.

    Args:
        encoder: Normalised images to embeddings.
        image_size: Pixels S of the square input.
        head: `"none"`, `"projection"` or `"linear"`.
        probe: Kernel `(C, K)` and bias `(K,)` for `"linear"`.

    Returns:
        A `.tflite`: input "image", RGB 0-255, float32 `(1, S, S, 3)`; output "features",
        "embedding" or "logits", float32 `(1, C)`.

    Raises:
        UserError: if the encoder cannot be deployed so, or not be converted.
    """
    deployed = deployment_model(encoder, image_size, head, probe)
    return convert_model(deployed, output_name=OUTPUT_NAMES[head])


def convert_model(model: keras.Model, *, output_name: str) -> bytes:
    """Convert a frozen Keras model with one input, of a fixed shape, and one output.

    Raises:
        UserError: if Larq Compute Engine cannot convert it. Its output is logged.
    """
    from larq_compute_engine.mlir._tf_tfl_flatbuffer import convert_graphdef_to_tflite_flatbuffer

    (spec,) = model.inputs
    graph_def = _frozen_graph(model, output_name)
    with _captured_terminal() as log_file:
        try:
            return convert_graphdef_to_tflite_flatbuffer(
                graph_def.SerializeToString(),
                ["image"],
                ["DT_FLOAT"],
                [list(spec.shape)],
                [output_name],
                False,  # should_quantize: to int8, which is not wanted
                "arm",
                None,
            )
        except Exception as error:
            log_file.seek(0)
            _log.error("%s", log_file.read().decode(errors="replace"))
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise UserError(
                f"Larq Compute Engine cannot convert {model.name!r}: {reason}"
            ) from error


def _frozen_graph(model: keras.Model, output_name: str):
    """The GraphDef of a model, with the values of its variables as constants.

    `convert_variables_to_constants_v2` does the same, after copying all weights through
    TensorFlow's function library and Python protobuf several times.
    """
    (spec,) = model.inputs

    @tf.function(autograph=False)
    def deployed(image):
        return tf.identity(model(image, training=False), name=output_name)

    function = deployed.get_concrete_function(tf.TensorSpec(spec.shape, spec.dtype, name="image"))
    captured = {inner.op.name: outer for outer, inner in function.graph.captures}
    graph_def = function.graph.as_graph_def()
    kept = []
    for node in graph_def.node:
        if node.op == "ReadVariableOp":
            _make_constant(node, captured[node.input[0]])
        if node.name not in captured:
            kept.append(node)
    del graph_def.node[:]
    graph_def.node.extend(kept)
    return graph_def


def _make_constant(node, handle: tf.Tensor) -> None:
    """Turn the node that reads a variable into a constant of its value."""
    dtype = tf.dtypes.as_dtype(node.attr["dtype"].type)
    value = tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)
    node.op = "Const"
    del node.input[:]
    for name in [name for name in node.attr if name != "dtype"]:
        del node.attr[name]
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.numpy()))


@contextlib.contextmanager
def _captured_terminal() -> Iterator:
    """Send what C++ writes to standard output and error into a temporary file."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as log_file:
        try:
            for descriptor in (1, 2):
                os.dup2(log_file.fileno(), descriptor)
            yield log_file
        finally:
            for descriptor, original in zip((1, 2), saved):
                os.dup2(original, descriptor)
                os.close(original)
