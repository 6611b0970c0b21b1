"""What an ONNX file says about itself, read without trusting it and without running it.

onnxruntime opens whatever path a file names for its weights, wherever it leads, and even takes an
address in memory for one. So the file is read here first: every place that may hold weights is
visited, and each path that it names has to be that of an ordinary file below the file's folder.

The numbers of the fields are those of onnx.proto (https://github.com/onnx/onnx, Apache-2.0).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import ModelError
from s2bnn_tf.reading import open_regular, read_bytes
from s2bnn_tf.teachers.protobuf import Fields, decode, float_of, message, read_fields

_LARGEST_FILE = 2**31  # bytes; Protocol Buffers has no larger ones
_LARGEST_WEIGHTS = 2**36  # bytes beside the file
_DEEPEST = 32  # graphs inside of graphs
_SMALL = 16  # numbers in a tensor whose values are kept: statistics of channels
_MOST_FIELDS = 5_000_000

# The fields that are visited, by message: those that hold tensors, at any depth.
_MODEL = {7: "graph", 14: "entry", 20: "training", 25: "function"}
_WITHIN: dict[str, dict[int, str]] = {
    "model": _MODEL,
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 11: "value", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
        **{22: "sparse", 23: "sparse"},
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
# Numbers in a tensor: by its data_type, their type and the field that has them one by one.
_NUMBERS = {1: ("<f4", 4), 10: ("<f2", 5), 11: ("<f8", 10)}


@dataclass
class Node:
    """An operation of the main graph.

    Attributes:
        kind: The name of the operation, such as `Conv`.
        inputs: The names of its inputs, "" for one that is left out.
        outputs: The names of its outputs.
        constant: The values of a node that is a constant of few numbers.
        epsilon: The attribute `epsilon`, if there is one.
    """

    kind: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    constant: NDArray[np.float64] | None = None
    epsilon: float = 1e-5


@dataclass
class OnnxFile:
    """What an ONNX file holds.

    Attributes:
        path: The file.
        nodes: The operations of the main graph, in order.
        inputs: The names of the inputs of the main graph, without those that have a value.
        constants: The values of tensors of few numbers in the file, by name.
        operations: The kinds of all operations, those inside of others included.
        metadata: What the exporter wrote beside the network.
        weights: The files of weights beside it.
        size_bytes: The size of all files.
    """

    path: Path
    nodes: list[Node] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    constants: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    operations: set[str] = field(default_factory=set)
    metadata: dict[str, str] = field(default_factory=dict)
    weights: list[Path] = field(default_factory=list)
    size_bytes: int = 0


def read_onnx(path: str | Path) -> OnnxFile:
    """Read what an ONNX file says about itself, and check where its weights are.

    Args:
        path: The file.

    Raises:
        ModelError: If it is no whole ONNX file, or names weights that are not in an ordinary file
            in its folder or below.
    """
    file = OnnxFile(Path(path))
    try:
        data = read_bytes(file.path, limit=_LARGEST_FILE)
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error
    reader = _Reader(file)
    try:
        reader.visit(memoryview(data), "model")
    except (ValueError, struct.error) as error:
        raise ModelError(f"{path} is not a whole ONNX file ({error}); export it again.") from error
    if not file.nodes:
        raise ModelError(f"{path} is not an ONNX file with a network; export it again.")
    file.inputs = [name for name in file.inputs if name not in reader.initialized]
    file.weights = [_beside(file.path, name) for name in sorted(reader.locations)]
    file.size_bytes = len(data) + sum(weights.stat().st_size for weights in file.weights)
    if file.size_bytes > _LARGEST_WEIGHTS:
        raise ModelError(f"{path} has more than {_LARGEST_WEIGHTS:,} bytes of weights.")
    return file


def _beside(path: Path, location: str) -> Path:
    """The file of weights that a location means, if it is an ordinary one and not elsewhere."""
    parts = PurePosixPath(location).parts
    plain = parts and not location.startswith("/") and location.isprintable()
    # onnxruntime takes locations with * for addresses in memory.
    if not plain or ".." in parts or any(c in location for c in "*\\:"):
        raise ModelError(
            f"{path} has its weights in {location!r:.80}, which leads out of its folder; export it "
            "again, with the weights in a file beside it."
        )
    place = path.parent
    for part in parts:
        place = place / part
        if place.is_symlink():
            raise ModelError(
                f"{path} has its weights in {place}, a symbolic link, which is not followed there; "
                "put the file itself in its place."
            )
    try:
        open_regular(place, follow_links=False).close()
    except OSError as error:
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise ModelError(
            f"{path} has its weights in {place}, which cannot be read: {reason}; put that file "
            "beside it."
        ) from error
    return place


class _Reader:
    """Visits all messages of a file, and keeps what `OnnxFile` has."""

    def __init__(self, file: OnnxFile):
        self.file = file
        self.locations: set[str] = set()
        self.initialized: set[str] = set()
        self.left = _MOST_FIELDS

    def visit(self, data: memoryview, kind: str, depth: int = 0) -> None:
        """Visit a message of a kind, and those in it."""
        if depth > 4 * _DEEPEST:
            raise ValueError("it is nested too deeply")
        fields = self._fields(data)
        if kind == "node":
            self._node(fields, main=depth == 2)
        elif kind == "tensor":
            name = self._text(fields, 8)
            if depth == 2:
                self.initialized.add(name)
                self._keep(name, _values(fields))
        elif kind == "value" and depth == 2:
            self.file.inputs.append(self._text(fields, 1))
        elif kind == "entry":
            self._entry(fields, of_model=depth == 1)
        for number, value in fields:
            inner = _WITHIN.get(kind, {}).get(number)
            if inner is not None:
                self.visit(message(value), inner, depth + 1)

    def _node(self, fields: Fields, *, main: bool) -> None:
        node = Node(self._text(fields, 4))
        self.file.operations.add(node.kind)
        if not main:
            return
        node.inputs = [decode(value) for number, value in fields if number == 1]
        node.outputs = [decode(value) for number, value in fields if number == 2]
        for number, value in fields:
            if number != 5:
                continue
            attribute = self._fields(message(value))
            name = self._text(attribute, 1)
            if name == "epsilon":
                node.epsilon = float_of(attribute, 2)
            elif node.kind == "Constant" and name == "value_float":
                node.constant = np.array(float_of(attribute, 2), np.float64)
            elif node.kind == "Constant" and name == "value":
                tensors = [inner for place, inner in attribute if place == 5]
                node.constant = _values(self._fields(message(tensors[-1]))) if tensors else None
        if node.constant is not None and node.outputs:
            self._keep(node.outputs[0], node.constant)
        self.file.nodes.append(node)

    def _entry(self, fields: Fields, *, of_model: bool) -> None:
        keys = [decode(value) for number, value in fields if number == 1]
        values = [decode(value) for number, value in fields if number == 2]
        if of_model and keys and values:
            self.file.metadata[keys[-1]] = values[-1]
        elif "location" in keys:  # whichever of several a reader takes: each is checked
            self.locations.update(values)

    def _keep(self, name: str, values: NDArray[np.float64] | None) -> None:
        if values is not None:
            self.file.constants[name] = values

    def _text(self, fields: Fields, number: int) -> str:
        found = [value for place, value in fields if place == number]
        return decode(found[-1]) if found else ""

    def _fields(self, data: memoryview) -> Fields:
        fields = []
        for each in read_fields(data):
            self.left -= 1
            if self.left < 0:  # each takes a hundred times the memory that it has in the file
                raise ValueError("it has too many parts")
            fields.append(each)
        return fields


def _values(fields: Fields) -> NDArray[np.float64] | None:
    """The values of a tensor of few floating-point numbers; None of any other."""
    kinds = [value for number, value in fields if number == 2]
    kind = kinds[-1] if kinds else 0
    if not isinstance(kind, int) or kind not in _NUMBERS:
        return None
    dtype, place = _NUMBERS[kind]
    raw = [bytes(message(value)) for number, value in fields if number == 9]
    if not raw and dtype in ("<f4", "<f8"):
        raw = [b"".join(bytes(message(value)) for number, value in fields if number == place)]
    if not raw or not 0 < len(raw[-1]) <= _SMALL * np.dtype(dtype).itemsize:
        return None
    return np.frombuffer(raw[-1], dtype).astype(np.float64)
