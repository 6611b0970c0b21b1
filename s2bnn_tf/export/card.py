"""The JSON card of a `.tflite`: what it takes and gives, how large and how exact it is."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf import __version__
from s2bnn_tf.backbones import Encoder
from s2bnn_tf.export.deployment import Probe
from s2bnn_tf.export.operations import file_operations
from s2bnn_tf.export.verify import ParityReport, run_keras
from s2bnn_tf.image_size import image_size, plain_size
from s2bnn_tf.tflite import TFLiteGraph


def describe_model(
    model: bytes,
    parity: ParityReport,
    *,
    head: str,
    center_crop: float,
    source: str | None,
    space: str | None = None,
) -> dict[str, Any]:
    """Describe a converted model.

    Args:
        model: The `.tflite`.
        parity: The result of its verification.
        head: A key of `OUTPUT_NAMES`.
        center_crop: The fraction of the shorter side that evaluation keeps.
        source: The data source that the encoder was trained on.
        space: The name of the space of the vectors; defaults to the SHA-256 of the model.
    """
    graph = TFLiteGraph(model)
    image, output = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    maps = [graph.tensors[index] for index in graph.outputs if len(graph.tensors[index].shape) == 4]
    card = {
        "input": {
            "name": image.name,
            "shape": list(image.shape),
            "dtype": str(image.dtype),
            "range": "RGB 0-255" if image.shape[3] == 3 else "gray 0-255",
        },
        "output": {"name": output.name, "shape": list(output.shape), "dtype": str(output.dtype)},
        "head": head,
        "image_size": plain_size(image_size(image.shape[1:3])),
        "center_crop": center_crop,
        "size_bytes": len(model),
        "float_weights_bytes": graph.constant_bytes(np.float32),
        "binary_convolutions": parity.binary_convolutions,
        "operations": file_operations(graph),
        "parity": parity.to_dict(),
        "sha256": hashlib.sha256(model).hexdigest(),
        "space": space or hashlib.sha256(model).hexdigest(),
        "source": source,
        "created_by": f"s2bnn_tf {__version__}",
    }
    for found in maps:
        card["map"] = {
            "name": found.name,
            "shape": list(found.shape),
            "stride": round(image.shape[1] / found.shape[1]),
        }
    return card


def describe_rounding(
    exact: tuple[Encoder, Probe | None],
    rounded: tuple[Encoder, Probe | None],
    images: NDArray[np.float32],
    head: str,
) -> dict[str, float]:
    """Measure in Keras how 8-bit weights in the head change the outputs.

    Args:
        exact: The encoder and the classifier before rounding.
        rounded: The encoder and the classifier after rounding.
        images: Images 0-255, `(N, H, W, C)`.
        head: `"projection"`, `"teacher"`, `"linear"`, or the same with a map, which has no weights
            in the head.

    Returns:
        `cosine_min`: the smallest cosine between the outputs before and after, over all images;
        for `"linear"` also `same_class`: the fraction of images whose best class is the same.
    """
    before, after = (
        run_keras(encoder, images, head.removesuffix("+map"), probe)[0]
        for encoder, probe in (exact, rounded)
    )
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    changes = {"cosine_min": float(np.min((before * after).sum(axis=1) / lengths))}
    if head == "linear":
        changes["same_class"] = float(np.mean(before.argmax(axis=1) == after.argmax(axis=1)))
    return changes
