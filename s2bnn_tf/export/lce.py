"""Larq Compute Engine: an encoder becomes the bytes of a `.tflite`, and its kernels run them.

Saving a Keras model, as `larq_compute_engine.convert_keras_model` does, spends most of its time
tracing every layer several times and handling the weights in pure-Python protobuf. Here the
deployed network is traced once, its variables are written into the traced graph as constants,
and the graph goes to the converter as it is.
"""

from __future__ import annotations

import logging

import numpy as np
import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.errors import ParityError, UserError
from s2bnn_tf.export.deployment import Probe, deployment_model
from s2bnn_tf.export.terminal import captured_terminal
from s2bnn_tf.tflite import OUTPUT_NAMES, TFLiteGraph

keras = tf.keras

_log = logging.getLogger(__name__)

# The kernels that Larq Compute Engine has for binary convolutions, by the interpreter's options.
KERNELS: dict[str, dict[str, bool]] = {
    "default": {},
    "indirect": {"use_indirect_bgemm": True},
    "reference": {"use_reference_bconv": True},
}


def convert(
    encoder: Encoder, *, image_size: int, head: str = "none", probe: Probe | None = None
) -> bytes:
    """Convert an encoder, without verifying the result; `export_encoder` does both.

    Args:
        encoder: Normalized images to embeddings.
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
    with captured_terminal() as log:
        try:
            data = convert_graphdef_to_tflite_flatbuffer(
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
            details = log.read()
            _log.error("%s", details)
            reasons = [line for line in details.splitlines() if "error: " in line]
            reason = reasons[0].split("error: ")[-1] if reasons else str(error).strip()
            raise UserError(f"Larq Compute Engine cannot convert the network: {reason}") from error
    _refuse_foreign_operations(data)
    return data


def _refuse_foreign_operations(data: bytes) -> None:
    """The converter passes on, under its own name, what TensorFlow Lite has no operation for."""
    names = {item.name for item in TFLiteGraph(data).operations}
    foreign = sorted(name for name in names if not (name.isupper() or name.startswith("Lce")))
    if foreign:
        raise UserError(
            f"The network has operations that TensorFlow Lite lacks ({', '.join(foreign)}): "
            "replace the layers that use them."
        )


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
        outer = captured.get(node.name)
        if outer is not None and outer.dtype == tf.resource:
            continue  # a variable's handle, which nothing will read any more
        if outer is not None:
            _make_constant(node, outer)
        elif node.op == "ReadVariableOp":
            dtype = tf.dtypes.as_dtype(node.attr["dtype"].type)
            handle = captured[node.input[0]]
            _make_constant(node, tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype))
        kept.append(node)
    del graph_def.node[:]
    graph_def.node.extend(kept)
    return graph_def


def _make_constant(node, value: tf.Tensor) -> None:
    """Turn a node into a constant."""
    node.op = "Const"
    del node.input[:]
    for name in [name for name in node.attr if name != "dtype"]:
        del node.attr[name]
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.numpy()))


def run_kernels(model: bytes, images: np.ndarray) -> dict[str, list[np.ndarray]]:
    """The outputs of a `.tflite` by kernel, of those kernels that can run it.

    The default kernel must. The indirect and the reference kernel lack some combinations of
    padding, groups and channels.
    """
    results = {}
    for kernel in KERNELS:
        with captured_terminal() as log:
            try:
                results[kernel] = run_file(model, images, kernel)
            except RuntimeError as error:
                if kernel == "default":
                    reason = (log.read() or str(error)).splitlines()[0].strip()
                    raise ParityError(
                        f"Larq Compute Engine converts the network but cannot run it: {reason}"
                    ) from error
    return results


def run_file(model: bytes, images: np.ndarray, kernel: str) -> list[np.ndarray]:
    """All outputs of a `.tflite`, each `(N, ...)`."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    outputs = Interpreter(model, **KERNELS[kernel]).predict(images)
    return outputs if isinstance(outputs, list) else [outputs]
