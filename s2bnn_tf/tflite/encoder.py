"""A `.tflite` opened as an encoder, so that the deployed file is evaluated like a checkpoint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from s2bnn_tf.errors import UserError
from s2bnn_tf.tflite.graph import FlatbufferError, TFLiteGraph
from s2bnn_tf.tflite.interpreter import choose_runtime, open_interpreter

# What `s2bnn convert` calls the output, by head.
OUTPUT_NAMES = {"none": "features", "projection": "embedding", "linear": "logits"}
_DEFAULT_CENTER_CROP = 0.875


class TFLiteEncoder:
    """The model of a `.tflite`, run by `s2bnn_runtime` or Larq Compute Engine's interpreter.

    The JSON card beside the file tells what the file itself cannot: crop,
    labels, the data it was trained on. Without a card the usual crop is taken.

    Attributes:
        name: File name.
        path: The file.
        image_size: Pixels of the square input.
        center_crop: Fraction of the shorter side that evaluation keeps.
        data_source: What it was trained on, or None.
        feature_dim: Width C of the output.
        size_bytes: Size of the file.
        head: `"none"`, `"projection"` or `"linear"`: what the output is.
        labels: Class names if the output is logits, or None.
        card: The JSON card, empty if there is none.
        runtime: `"s2bnn"` or `"lce"`: what runs it.

    Args:
        path: A `.tflite` that takes one RGB image 0-255, float32 `(1, S, S, 3)`,
            and gives one float32 vector.
        runtime: As for `choose_runtime`.

    Raises:
        UserError: if it is no such file, the card beside it is of another file, or the runtime
            is not installed.
    """

    def __init__(self, path: str | Path, runtime: str | None = None):
        self.path = Path(path)
        self.name = self.path.name
        data = _read(self.path)
        graph = _open_graph(self.path, data)
        self.card = _read_card(self.path, data)
        self.image_size = graph.tensors[graph.inputs[0]].shape[1]
        output = graph.tensors[graph.outputs[0]]
        self.feature_dim = output.shape[-1]
        self.size_bytes = len(data)
        heads = {name: head for head, name in OUTPUT_NAMES.items()}
        self.head: str = self.card.get("head", heads.get(output.name, "none"))
        self.center_crop: float = self.card.get("center_crop", _DEFAULT_CENTER_CROP)
        self.data_source: str | None = self.card.get("source")
        self.labels: list[str] | None = self.card.get("labels")
        self.runtime = choose_runtime(runtime)
        self._predict = open_interpreter(self.path, graph, self.runtime)

    def features(self, images: np.ndarray) -> np.ndarray:
        """The output `(B, C)`, float32, for RGB images 0-255 `(B, S, S, 3)`."""
        batch = np.asarray(images, np.float32)
        if not len(batch):
            return np.zeros((0, self.feature_dim), np.float32)
        return self._predict(batch)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """The output with unit length `(B, C)` for RGB images 0-255 `(B, S, S, 3)`."""
        return self.project(self.features(images))

    def project(self, features: np.ndarray) -> np.ndarray:
        """The embedding of what `features` gave: the same with unit length, `(B, C)`."""
        lengths = np.linalg.norm(features, axis=-1, keepdims=True)
        return features / np.maximum(lengths, np.finfo(np.float32).tiny)


def read_graph(path: str | Path) -> TFLiteGraph:
    """Read any TensorFlow Lite model.

    Raises:
        UserError: if the file cannot be read or is not a whole model.
    """
    path = Path(path)
    return _graph(path, _read(path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error


def _graph(path: Path, data: bytes) -> TFLiteGraph:
    try:
        return TFLiteGraph(data)
    except FlatbufferError as error:
        raise UserError(
            f"{path} is not a whole TensorFlow Lite model ({error}); "
            "make it again with `s2bnn convert`."
        ) from error


def _open_graph(path: Path, data: bytes) -> TFLiteGraph:
    graph = _graph(path, data)
    tensors = [graph.tensors[index] for index in (*graph.inputs, *graph.outputs)]
    shapes = [tensor.shape for tensor in tensors]
    is_encoder = (
        (len(graph.inputs), len(graph.outputs)) == (1, 1)
        and all(tensor.dtype == np.float32 for tensor in tensors)
        and len(shapes[0]) == 4
        and shapes[0] == (1, shapes[0][1], shapes[0][1], 3)
        and len(shapes[1]) == 2
        and shapes[1][0] == 1
    )
    if not is_encoder:
        described = " to ".join(f"{tensor.dtype} {tensor.shape}" for tensor in tensors)
        raise UserError(
            f"{path} is a model from {described}, not from one float32 RGB image (1, S, S, 3) "
            "to one vector; name a file made by `s2bnn convert`."
        )
    return graph


def _read_card(path: Path, data: bytes) -> dict:
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        return {}
    try:
        card = json.loads(card_path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{card_path} beside {path.name} is not valid JSON ({error}).") from error
    digest = card.get("sha256") if isinstance(card, dict) else None
    if digest != hashlib.sha256(data).hexdigest():
        raise UserError(
            f"{card_path} describes another file than {path.name} (the SHA-256 differs); "
            "convert again, or move the card away."
        )
    return card
