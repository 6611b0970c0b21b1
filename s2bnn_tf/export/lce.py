"""The calls of Larq Compute Engine: its converter, and its interpreter with each of its kernels.

`larq_compute_engine.convert_keras_model` saves the Keras model first, and spends most of its time
tracing every layer several times and handling the weights in pure-Python protobuf. Here the
deployment network is traced once, its variables are written into the traced graph as constants,
and the graph goes straight to the converter.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.errors import ModelError, ParityError
from s2bnn_tf.export.deployment import Probe, deployment_model
from s2bnn_tf.export.terminal import captured_terminal
from s2bnn_tf.image_size import ImageSize
from s2bnn_tf.tflite import OUTPUT_NAMES, TFLiteGraph

keras = tf.keras

_log = logging.getLogger(__name__)

# Larq Compute Engine's kernels for binary convolutions, and the interpreter options of each.
KERNELS: dict[str, dict[str, bool]] = {
    "default": {},
    "indirect": {"use_indirect_bgemm": True},
    "reference": {"use_reference_bconv": True},
}


def convert(
    encoder: Encoder, *, image_size: ImageSize, head: str = "none", probe: Probe | None = None
) -> bytes:
    """Convert an encoder without verifying the result; `export_encoder` does both.

    Args:
        encoder: A model from normalized images to embeddings.
        image_size: The side of the input in pixels, or its height and width.
        head: `"none"`, `"projection"` or `"linear"`.
        probe: The kernel `(C, K)` and bias `(K,)` of the classifier, for `"linear"`.

    Returns:
        A `.tflite`: input "image", 0-255, float32 `(1, H, W, C)`; output "features",
        "embedding" or "logits", float32 `(1, F)`.

    Raises:
        UserError: If the deployment network cannot be built; see `deployment_model`.
        ModelError: If Larq Compute Engine cannot convert it.
    """
    deployed = deployment_model(encoder, image_size, head, probe)
    return convert_model(deployed, output_name=OUTPUT_NAMES[head])


def convert_model(model: keras.Model, *, output_name: str | tuple[str, ...]) -> bytes:
    """Convert a frozen Keras model that has one input, of a fixed shape.

    Args:
        model: The model; its input is named "image" in the file.
        output_name: The name of the output in the file, or the names of all outputs in order.

    Returns:
        The `.tflite`.

    Raises:
        ModelError: If Larq Compute Engine cannot convert the model. Its output is logged.
    """
    from larq_compute_engine.mlir._tf_tfl_flatbuffer import convert_graphdef_to_tflite_flatbuffer

    (spec,) = model.inputs
    names = (output_name,) if isinstance(output_name, str) else output_name
    graph_def = _frozen_graph(model, names)
    with captured_terminal() as log:
        try:
            data: bytes = convert_graphdef_to_tflite_flatbuffer(
                graph_def.SerializeToString(),
                ["image"],
                ["DT_FLOAT"],
                [list(spec.shape)],
                list(names),
                False,  # should_quantize: activations stay float32
                "arm",
                None,
            )
        except Exception as error:
            details = log.read()
            _log.error("%s", details)
            reasons = [line for line in details.splitlines() if "error: " in line]
            reason = reasons[0].split("error: ")[-1] if reasons else str(error).strip()
            raise ModelError(f"Larq Compute Engine cannot convert the network: {reason}") from error
    _refuse_foreign_operations(data)
    return data


def run_kernels(model: bytes, images: NDArray[np.float32]) -> dict[str, list[NDArray[Any]]]:
    """Run a `.tflite` with every kernel that can run it.

    The default kernel must. The indirect and the reference kernel lack some combinations of
    padding, groups and channels.

    Args:
        model: The `.tflite`.
        images: Inputs, `(N, H, W, C)`.

    Returns:
        For each kernel all outputs, each `(N, ...)`.

    Raises:
        ParityError: If the default kernel cannot run the model.
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


def run_file(model: bytes, images: NDArray[np.float32], kernel: str) -> list[NDArray[Any]]:
    """Run a `.tflite` with one of `KERNELS`, and return all its outputs, each `(N, ...)`."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    outputs = Interpreter(model, **KERNELS[kernel]).predict(images)
    return outputs if isinstance(outputs, list) else [outputs]


def _refuse_foreign_operations(data: bytes) -> None:
    """Refuse operations that TensorFlow Lite lacks; the converter passes them on by their name."""
    names = {item.name for item in TFLiteGraph(data).operations}
    foreign = sorted(name for name in names if not (name.isupper() or name.startswith("Lce")))
    if foreign:
        raise ModelError(
            f"The network has operations that TensorFlow Lite lacks ({', '.join(foreign)}): "
            "replace the layers that use them."
        )


def _frozen_graph(model: keras.Model, names: tuple[str, ...]) -> tf.compat.v1.GraphDef:
    """The GraphDef of a model, with the values of its variables as constants.

    `convert_variables_to_constants_v2` does the same, but copies all weights through
    TensorFlow's function library and Python protobuf several times.
    """
    (spec,) = model.inputs

    @tf.function(autograph=False)
    def deployed(image: tf.Tensor) -> list[tf.Tensor]:
        outputs = tf.nest.flatten(model(image, training=False))
        return [tf.identity(output, name=name) for output, name in zip(outputs, names)]

    function = deployed.get_concrete_function(tf.TensorSpec(spec.shape, spec.dtype, name="image"))
    captured = {inner.op.name: outer for outer, inner in function.graph.captures}
    graph_def = function.graph.as_graph_def()
    kept = []
    for node in graph_def.node:
        outer = captured.get(node.name)
        if outer is not None and outer.dtype == tf.resource:
            continue  # the handle of a variable, which nothing reads any more
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


def _make_constant(node: tf.compat.v1.NodeDef, value: tf.Tensor) -> None:
    """Turn a node into a constant."""
    node.op = "Const"
    del node.input[:]
    for name in [name for name in node.attr if name != "dtype"]:
        del node.attr[name]
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.numpy()))
