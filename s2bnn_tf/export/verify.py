"""Verify a converted file against the network, layer by layer and as a whole, on real images.

Two correct float32 executions of a deep binary network differ visibly: where an input of a sign
is zero up to rounding, the sign may flip, and each flip changes everything after it. A single
tolerance on the output would therefore prove nothing. There are three checks instead, each strict:

1. Each binary convolution by itself: given the bits that the file's operation read, the Keras
   layer must give the operation's output, up to float rounding. This is checked for every kernel
   of Larq Compute Engine.
2. The whole network with the signs dictated by the file: Keras must then give the file's output
   up to float rounding, and a sign of its own may differ only next to zero.
3. The whole network, running free: the cosine per image, and the nearest neighbors among the
   images.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import ParityError
from s2bnn_tf.export.deployment import Probe
from s2bnn_tf.export.lce import run_file, run_kernels
from s2bnn_tf.export.maps import with_map
from s2bnn_tf.export.verify_layers import TOLERANCE, BinaryPair, explain, layer_error, pair_layers
from s2bnn_tf.export.verify_signs import Layer, SignRecord, compared_signs
from s2bnn_tf.layers import leaf_layers
from s2bnn_tf.tflite import TFLiteGraph, with_outputs
from s2bnn_tf.vectors import unit_length

keras = tf.keras

# The largest error of the output with dictated signs, relative to its largest number. Rounding
# stays below 1e-5 in most networks. TensorFlow Lite's sigmoid, which is exp(x) below -9, is itself
# off by 1.2e-4, and raises it to 1e-4 in Real-to-Binary Net. Mistakes are larger by far.
NETWORK_TOLERANCE = 1e-3
# The smallest cosine of the output, running free. One flipped sign near the input can become
# thousands near the output: a random BinaryResNetE18, converted correctly, was seen at 0.974. So
# this catches gross mistakes only, and mistakes in step-1 files, whose signs are not known.
SMALLEST_COSINE = 0.9
# The images on which each binary convolution is checked; the whole network is checked on all.
_IMAGES_BY_LAYER = 2
_BATCH = 8


@dataclass(frozen=True)
class ParityReport:
    """The result of a verification that found everything within its tolerance.

    Attributes:
        images: The number of images compared.
        binary_convolutions: The number of operations `LceBconv2d` in the file, one for each
            binary convolution of the network.
        layer_error: The largest error of a binary convolution by itself, relative to the sum
            of the magnitudes it adds up; by kernel, for the kernels that can run the file.
        signs: The number of signs compared at the inputs of binary convolutions.
        signs_flipped: How many of them differ between Keras and the file, each running free.
        signs_flipped_by_rounding: The same, counting only first causes: with the signs
            dictated by the file up to each layer.
        dictated_error: The largest output error with the signs dictated by the file, relative
            to the largest output. None if some signs of the network are not in the file
            (step 1: binary inputs, float weights).
        cosine_min: The smallest cosine between the outputs of Keras and of the file, per image.
        cosine_mean: The mean of these cosines.
        neighbour_agreement: The fraction of images whose nearest other image is the same;
            None for fewer than three images.
    """

    images: int
    cosine_min: float
    cosine_mean: float
    neighbour_agreement: float | None
    # As of a network without a binary convolution
    binary_convolutions: int = 0
    layer_error: dict[str, float] = field(default_factory=dict)
    signs: int = 0
    signs_flipped: int = 0
    signs_flipped_by_rounding: int = 0
    dictated_error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report for JSON, with the fraction of flipped signs."""
        fraction = self.signs_flipped / self.signs if self.signs else 0.0
        return {**asdict(self), "signs_flipped_fraction": fraction}


def verify(
    encoder: Encoder,
    model: bytes,
    images: NDArray[np.float32],
    *,
    deployed: keras.Model,
    head: str = "none",
    probe: Probe | None = None,
    map_stride: int | None = None,
) -> ParityReport:
    """Compare a converted file with the encoder it was made from.

    Args:
        encoder: The encoder, in float32.
        model: The `.tflite`.
        images: Real images, 0-255, `(N, H, W, C)`.
        deployed: The result of `deployment_model` that was converted.
        head: The head it was converted with.
        probe: The classifier it was converted with, for the head `"linear"`.
        map_stride: The stride of the map it was converted with; see `with_map`.

    Raises:
        ParityError: If the file does not compute what the encoder computes. The message
            names the layer wherever possible.
    """
    images = np.asarray(images, np.float32)
    encoder = with_map(encoder, head, map_stride)
    graph = TFLiteGraph(model)
    pairs = pair_layers(graph, encoder.backbone, deployed.get_layer(encoder.backbone.name))
    few = images[:_IMAGES_BY_LAYER]
    signs, outputs, errors = _check_layers(graph, pairs, few)
    with compared_signs(signs, dictate=False) as free:
        run_keras(encoder, few, head, probe)
    with compared_signs(signs, dictate=True) as dictated:
        dictated_error = _relative_error(run_keras(encoder, few, head, probe), outputs)
    all_known = _has_all_signs(encoder.backbone, signs)
    if all_known:
        _check_dictated(dictated, dictated_error)
    expected = run_keras(encoder, images, head, probe)
    compared = [
        _check_outputs(*pair) for pair in zip(expected, run_file(model, images, "indirect"))
    ]
    cosines, agreement = np.stack([cosines for cosines, _ in compared]), compared[0][1]
    return ParityReport(
        images=len(images),
        binary_convolutions=len(graph.binary_convolutions()),
        layer_error=errors,
        signs=sum(record.compared for record in free.values()),
        signs_flipped=sum(record.flipped for record in free.values()),
        signs_flipped_by_rounding=sum(record.flipped for record in dictated.values()),
        dictated_error=dictated_error if all_known else None,
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        neighbour_agreement=agreement,
    )


def run_keras(
    encoder: Encoder, images: NDArray[np.float32], head: str, probe: Probe | None
) -> list[NDArray[np.float32]]:
    """Run the encoder itself, eagerly.

    Args:
        encoder: The encoder; for a head with a map, the result of `with_map`.
        images: Images 0-255, `(N, H, W, C)`.
        head: A key of `OUTPUT_NAMES`.
        probe: The classifier, for `"linear"`.

    Returns:
        All outputs of the head: features, embeddings or logits, `(N, F)`, and maps,
        `(N, h, w, F)`.
    """
    outputs: list[list[tf.Tensor]] = []
    for start in range(0, len(images), _BATCH):
        batch = normalize(tf.constant(images[start : start + _BATCH]))
        given = tf.nest.flatten(encoder.backbone(batch, training=False))
        if head.split("+")[0] in ("projection", "teacher"):
            given[0] = encoder.project(given[0])
        if head == "linear" and probe is not None:
            given = [tf.linalg.matmul(given[0], probe[0]) + probe[1]]
        outputs.append(given)
    return [np.asarray(tf.concat(parts, axis=0)) for parts in zip(*outputs)]


def _check_layers(
    graph: TFLiteGraph, pairs: list[BinaryPair], images: NDArray[np.float32]
) -> tuple[dict[Layer, NDArray[np.float32]], list[NDArray[np.float32]], dict[str, float]]:
    """Check each binary convolution by itself, with every kernel.

    Returns:
        The signs that each layer read in the file, the outputs of the file, and the
        largest error by kernel.
    """
    words = [pair.operation.inputs[0] for pair in pairs]
    written = [pair.operation.outputs[0] for pair in pairs]
    instrumented = with_outputs(graph.data, [*graph.outputs, *words, *written])
    results = run_kernels(instrumented, images)
    errors = dict.fromkeys(results, 0.0)
    count = len(graph.outputs)
    for kernel, found in results.items():
        values = found[count:]
        for pair, bits, output in zip(pairs, values, values[len(pairs) :]):
            channels = graph.tensors[pair.operation.inputs[1]].shape[0]
            error = layer_error(pair, bits, output, channels)
            if not error <= TOLERANCE:
                raise ParityError(explain(graph, pair, kernel, error))
            errors[kernel] = max(errors[kernel], error)
    outputs, values = results["default"][:count], results["default"][count:]
    signs = {pair.layer: pair.signs(bits) for pair, bits in zip(pairs, values)}
    return signs, outputs, errors


def _has_all_signs(backbone: keras.Model, signs: dict[Layer, NDArray[np.float32]]) -> bool:
    """Whether the file holds the signs of every layer that takes some in the network."""
    return all(
        layer in signs
        for layer in leaf_layers(backbone)
        if isinstance(layer, lq.quantizers.Quantizer)
        or getattr(getattr(layer, "input_quantizer", None), "precision", None) == 1
    )


def _check_dictated(records: dict[Layer, SignRecord], error: float) -> None:
    for layer, record in records.items():
        if record.wrong:
            raise ParityError(
                f"The input of {layer.name!r} has other signs in the file than in the network, "
                f"{record.wrong} of {record.compared} beyond rounding: the layers between it "
                "and the binary convolution before it were converted wrongly."
            )
    if not error <= NETWORK_TOLERANCE:
        raise ParityError(
            f"The output of the file differs from the network's by {error:.1e} of its largest "
            f"number (at most {NETWORK_TOLERANCE:.0e} is rounding): a layer that follows the last "
            "binary convolution was converted wrongly."
        )


def compare_outputs(
    expected: NDArray[np.float32], outputs: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float | None]:
    """Compare two outputs `(N, ...)` of the same images.

    Returns:
        The cosine per image, and the fraction of images with the same nearest other image; None
        for fewer than three.
    """
    expected, outputs = (values.reshape(len(values), -1) for values in (expected, outputs))
    expected, outputs = unit_length(expected), unit_length(outputs)
    cosines = (expected * outputs).sum(axis=-1)
    if len(expected) < 3:
        return cosines, None
    neighbors = [
        np.argmax(values @ values.T - 4 * np.eye(len(values)), axis=-1)
        for values in (expected, outputs)
    ]
    return cosines, float(np.mean(neighbors[0] == neighbors[1]))


def _check_outputs(
    expected: NDArray[np.float32], outputs: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float | None]:
    cosines, agreement = compare_outputs(expected, outputs)
    if not cosines.min() >= SMALLEST_COSINE:
        raise ParityError(
            f"The file's output has a cosine of {cosines.min():.3f} with the network's (at least "
            f"{SMALLEST_COSINE} was expected) for image {cosines.argmin()}: it was not converted "
            "correctly, or the network's numbers are not finite."
        )
    return cosines, agreement


def _relative_error(
    expected: list[NDArray[np.float32]], outputs: list[NDArray[np.float32]]
) -> float:
    return max(
        float(np.abs(wanted - output).max() / max(np.abs(wanted).max(), 1e-12))
        for wanted, output in zip(expected, outputs)
    )
