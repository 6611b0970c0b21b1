"""A `.tflite` opened as an encoder, which makes it possible to evaluate it like a checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.defaults import CENTER_CROP
from s2bnn_tf.errors import ModelError
from s2bnn_tf.files import sha256
from s2bnn_tf.image_size import ImageSize, image_size
from s2bnn_tf.reading import Field, ListOf, Number, Object, Text, read_bytes, read_json
from s2bnn_tf.tflite.flatbuffer import FlatbufferError
from s2bnn_tf.tflite.graph import TFLiteGraph
from s2bnn_tf.tflite.interpreter import choose_runtime, open_interpreter
from s2bnn_tf.vectors import unit_length

# The names that `s2bnn convert` gives the outputs, by head.
OUTPUT_NAMES: dict[str, tuple[str, ...]] = {
    "none": ("features",),
    "projection": ("embedding",),
    "teacher": ("teacher_embedding",),
    "linear": ("logits",),
    "map": ("map",),
    "features+map": ("features", "map"),
    "teacher+map": ("teacher_embedding", "map"),
}

_LARGEST_MODEL = 2**31  # bytes, the largest flatbuffer
_CARD: dict[str, Field] = {
    "sha256": Text(optional=True),
    "space": Text(optional=True),
    "head": Text(tuple(OUTPUT_NAMES), optional=True),
    "center_crop": Number(above=0, high=1, optional=True),
    "source": Text(optional=True),
    "labels": ListOf(Text(), optional=True),
    "size_bytes": Number(low=0, whole=True, optional=True),
    "operations": Object(
        {"binary_macs": Number(low=0), "float_macs": Number(low=0)}, optional=True
    ),
    "parity": Object(
        {
            "binary_convolutions": Number(low=0, whole=True),
            "cosine_mean": Number(),
            "neighbour_agreement": Number(optional=True),
        },
        optional=True,
    ),
}


class TFLiteEncoder:
    """The model in a `.tflite`, ready for evaluation; it has the attributes of a `LoadedEncoder`.

    `s2bnn_runtime` or the interpreter of Larq Compute Engine runs it. The JSON card beside the
    file holds the facts that the file itself cannot hold: the crop, the labels and the data
    source. Without a card, the crop is the default of recipes.

    Attributes:
        name: Name of the file.
        path: The file.
        image_size: The side of the input in pixels, or its height and width.
        channels: The channels of the input: 3 for RGB, 1 for gray.
        center_crop: Fraction of the shorter side that evaluation keeps.
        feature_dim: Width F of the output; of a map alone, its channels.
        map_shape: Height, width and channels of the map, or None if the file has none.
        data_source: The data source it was trained on, or None if it is not known.
        size_bytes: Size of the file.
        head: The kind of output: `"none"` for features, `"projection"` for an embedding,
            `"linear"` for logits, `"map"` for the features of places, `"features+map"`, `"teacher"`
            for an embedding in the teacher's space, `"teacher+map"`.
        labels: The names of the classes if the output is logits, otherwise None.
        runtime: `"s2bnn"` or `"lce"`, the runtime in use.
        preparation: Always "", since the file holds all of it.
        card: The JSON card, empty if there is none; a `LoadedEncoder` has none.

    Args:
        path: A `.tflite` that takes one image 0-255, RGB or gray, float32 `(1, H, W, C)`, and
            returns one float32 vector, one float32 map `(1, h, w, F)`, or one of each.
        runtime: The runtime, see `choose_runtime`.

    Raises:
        ModelError: If the file is of another kind or damaged, or the card beside it belongs to
            another file.
        DeviceError: If the runtime is not installed.
    """

    def __init__(self, path: str | Path, runtime: str | None = None):
        self.path = Path(path)
        self.name = self.path.name
        data = _read(self.path)
        graph = _open_graph(self.path, data)
        self.card = _matching_card(self.path, data)
        _, *sides, channels = graph.tensors[graph.inputs[0]].shape
        self.image_size: ImageSize = image_size(sides)
        self.channels: int = channels
        outputs = [graph.tensors[index] for index in graph.outputs]
        vectors = [i for i, output in enumerate(outputs) if len(output.shape) == 2]
        maps = [i for i, output in enumerate(outputs) if len(output.shape) == 4]
        self._vector = vectors[0] if vectors else None
        self._map = maps[0] if maps else None
        self.feature_dim = outputs[(vectors or maps)[0]].shape[-1]
        self.map_shape = outputs[maps[0]].shape[1:] if maps else None
        self.size_bytes = len(data)
        heads = {names: head for head, names in OUTPUT_NAMES.items()}
        named = tuple(output.name for output in outputs)
        self.head: str | None = self.card.get("head", heads.get(named, "none"))
        self.center_crop: float = self.card.get("center_crop", CENTER_CROP)
        self.data_source: str | None = self.card.get("source")
        self.labels: list[str] | None = self.card.get("labels")
        self.runtime: str | None = choose_runtime(runtime)
        self.preparation = ""
        self._predict = open_interpreter(self.path, graph, self.runtime)

    @property
    def space(self) -> str:
        """The name of the space of the outputs, as s2bnn_runtime has it; else the file's SHA-256.

        Outputs of different spaces cannot be compared.
        """
        named = self.card.get("space")
        return named if isinstance(named, str) and named else sha256(self.path)

    def features(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Compute the output `(B, F)` from images 0-255 `(B, H, W, C)`.

        Of a map alone, it is the mean over all places.
        """
        batch = np.asarray(images, np.float32)
        if not len(batch):
            return np.zeros((0, self.feature_dim), np.float32)
        outputs = self._predict(batch)
        if self._vector is not None:
            return outputs[self._vector]
        assert self._map is not None
        means: NDArray[np.float32] = outputs[self._map].mean(axis=(1, 2))
        return means

    def maps(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Compute the map `(B, h, w, F)` from images 0-255 `(B, H, W, C)`.

        Raises:
            ModelError: If the file has none.
        """
        if self._map is None or self.map_shape is None:
            raise ModelError(
                f"{self.path} returns no map; convert it again with --head features+map."
            )
        batch = np.asarray(images, np.float32)
        if not len(batch):
            return np.zeros((0, *self.map_shape), np.float32)
        return self._predict(batch)[self._map]

    def embed(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Compute the output `(B, F)`, scaled to unit length, from images 0-255."""
        return self.project(self.features(images))

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale an output `(B, F)` to unit length; zeros remain zeros."""
        return unit_length(features)


def read_graph(path: str | Path) -> TFLiteGraph:
    """Read the graph of any TensorFlow Lite model.

    Raises:
        ModelError: If the file cannot be read or is not a complete model.
    """
    path = Path(path)
    return _graph(path, _read(path))


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, limit=_LARGEST_MODEL)
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error


def _graph(path: Path, data: bytes) -> TFLiteGraph:
    try:
        return TFLiteGraph(data)
    except FlatbufferError as error:
        raise ModelError(
            f"{path} is not a whole TensorFlow Lite model ({error}); "
            "make it again with `s2bnn convert`."
        ) from error


def _open_graph(path: Path, data: bytes) -> TFLiteGraph:
    graph = _graph(path, data)
    tensors = [graph.tensors[index] for index in (*graph.inputs, *graph.outputs)]
    shapes = [tensor.shape for tensor in tensors]
    is_encoder = (
        len(graph.inputs) == 1
        and all(tensor.dtype == np.float32 for tensor in tensors)
        and len(shapes[0]) == 4
        and shapes[0][0] == 1
        and min(shapes[0][1:3]) > 0
        and shapes[0][3] in (1, 3)
        and sorted(map(len, shapes[1:])) in ([2], [4], [2, 4])
        and all(shape[0] == 1 and min(shape) > 0 for shape in shapes[1:])
    )
    if not is_encoder:
        described = " to ".join(f"{tensor.dtype} {tensor.shape}" for tensor in tensors)
        raise ModelError(
            f"{path} is a model from {described}, not from one float32 image (1, H, W, 3) or "
            "(1, H, W, 1) to one vector, one map, or one of each; name a file made by `s2bnn "
            "convert`."
        )
    return graph


def read_card(path: str | Path) -> dict[str, Any] | None:
    """Read the JSON card beside a `.tflite`; None if there is none.

    Args:
        path: The `.tflite`, or its card.

    Raises:
        ModelError: If the card is damaged.
    """
    try:
        return read_json(
            Path(path).with_suffix(".json"),
            _CARD,
            cure="convert again, or move the card away",
            error=ModelError,
            follow_links=True,
        )
    except FileNotFoundError:
        return None


def _matching_card(path: Path, data: bytes) -> dict[str, Any]:
    card = read_card(path)
    if card is None:
        return {}
    if card.get("sha256") != hashlib.sha256(data).hexdigest():
        raise ModelError(
            f"{path.with_suffix('.json')} describes another file than {path.name} (the SHA-256 "
            "differs); convert again, or move the card away."
        )
    return card
