"""Real-valued encoders in 8-bit integers, by TensorFlow Lite's own quantization after training.

Weights and maps become int8, with scales that are measured on real images; the image and the output
stay float32. It is what a real-valued network of the same work has to offer beside a 1-bit one.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator

import larq as lq
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.errors import ConfigError, ModelError, ParityError
from s2bnn_tf.export.deployment import Probe
from s2bnn_tf.export.lce import run_file
from s2bnn_tf.export.maps import with_map
from s2bnn_tf.export.terminal import captured_terminal
from s2bnn_tf.export.verify import ParityReport, compare_outputs, run_keras
from s2bnn_tf.layers import leaf_layers
from s2bnn_tf.tflite import OUTPUT_NAMES, read_tables, write_tables

keras = tf.keras

_log = logging.getLogger(__name__)

CALIBRATION_IMAGES = 128
# The smallest mean cosine with the float network's outputs. Networks that were trained stay above
# 0.99; a scale that was measured on too few or on other images costs more.
SMALLEST_MEAN_COSINE = 0.95
# The smallest share of images whose nearest other image stays the same. The features of a network
# may have a large part in common, which leaves cosines high whatever the rest is.
SMALLEST_AGREEMENT = 0.5


def check_real_valued(encoder: Encoder, head: str) -> None:
    """Check that an encoder and its output can be in int8.

    Raises:
        ModelError: If the encoder computes with bits.
        ConfigError: If the file would have two outputs.
    """
    for layer in leaf_layers(encoder.backbone):
        quantizers = [layer] if isinstance(layer, lq.quantizers.Quantizer) else []
        quantizers += [getattr(layer, f"{of}_quantizer", None) for of in ("input", "kernel")]
        if any(getattr(quantizer, "precision", None) == 1 for quantizer in quantizers):
            raise ModelError(
                f"{encoder.backbone.name!r} computes with bits ({layer.name!r}), and int8 is for "
                "real-valued students; convert it without --int8."
            )
    if len(OUTPUT_NAMES.get(head, ())) > 1:
        raise ConfigError("--int8 writes files with one output; choose --head none or map.")


def convert_to_int8(deployed: keras.Model, images: NDArray[np.float32], output_name: str) -> bytes:
    """Convert a deployment network to int8, with float32 at both ends.

    Args:
        deployed: The result of `deployment_model`, with one output.
        images: Images 0-255 to measure the ranges of all maps on, `(N, H, W, C)`.
        output_name: The name of the output in the file; the input is named "image".

    Returns:
        The `.tflite`. All its operations are TensorFlow Lite's own.

    Raises:
        ModelError: If an operation has no int8 kernel.
    """
    (spec,) = deployed.inputs

    @tf.function(autograph=False)
    def call(image: tf.Tensor) -> tf.Tensor:
        return deployed(image, training=False)

    def batches() -> Iterator[list[NDArray[np.float32]]]:
        for image in images:
            yield [image[None]]

    function = call.get_concrete_function(tf.TensorSpec(spec.shape, tf.float32, name="image"))
    with captured_terminal() as log, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to the authors of calling programs
        try:
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function], deployed)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = batches
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            data: bytes = converter.convert()
        except Exception as error:
            _log.error("%s", log.read())
            raise ModelError(
                f"TensorFlow Lite cannot convert the network to int8: {str(error).splitlines()[0]}"
            ) from error
    return _named(data, output_name)


def verify_int8(
    encoder: Encoder,
    model: bytes,
    images: NDArray[np.float32],
    *,
    head: str = "none",
    probe: Probe | None = None,
    map_stride: int | None = None,
) -> ParityReport:
    """Compare the outputs of an int8 file with those of the float encoder, on real images.

    Args:
        encoder: The encoder, in float32.
        model: The `.tflite`.
        images: Real images, 0-255, `(N, H, W, C)`; not those of the calibration.
        head: The head it was converted with.
        probe: The classifier it was converted with, for the head `"linear"`.
        map_stride: The stride of the map it was converted with.

    Raises:
        ParityError: If the mean cosine of the outputs is below `SMALLEST_MEAN_COSINE`, or the
            agreement of nearest neighbors below `SMALLEST_AGREEMENT`.
    """
    (expected,) = run_keras(with_map(encoder, head, map_stride), images, head, probe)
    (outputs,) = run_file(model, images, "default")
    cosines, agreement = compare_outputs(expected, outputs)
    apart = agreement is not None and agreement < SMALLEST_AGREEMENT
    if apart or not cosines.mean() >= SMALLEST_MEAN_COSINE:
        same = "" if agreement is None else f", and {agreement:.0%} of the images the same neighbor"
        raise ParityError(
            f"In int8, the output has a mean cosine of {cosines.mean():.3f} with the float "
            f"network's{same} (at least {SMALLEST_MEAN_COSINE} and {SMALLEST_AGREEMENT:.0%} were "
            "expected): name more images, or images like those of its use, with --calibrate."
        )
    return ParityReport(
        images=len(images),
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        neighbour_agreement=agreement,
    )


def _named(data: bytes, output_name: str) -> bytes:
    """Give the ends of a file the names that all our files have."""
    flat = read_tables(data)
    (graph,) = flat.tables("subgraphs")
    tensors = graph.tables("tensors")
    for end, name in (("inputs", "image"), ("outputs", output_name)):
        (index,) = graph.vector(end)
        tensors[index].set("name", name.encode())
    if flat.has("signature_defs"):
        flat.remove("signature_defs")  # it has the old names
    return write_tables(flat)
