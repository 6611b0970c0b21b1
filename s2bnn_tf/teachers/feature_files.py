"""Files of features that were computed anywhere: `teacher.weights: FEATURES.npz`.

A file has one row for each picture, or for each crop of it:

- `features` (R, C), or `embeddings` (R, D), or both: numbers that are finite;
- `paths` (R,), or `sha256` (R,) of the pictures' files in hexadecimal, or both, or neither where
  the rows are in the order of the pictures;
- `boxes` (R, 4) and `flips` (R,) for crops: top, left, height and width as shares of the picture,
  and whether left and right were exchanged.

`.npz` has arrays of these names, and `.safetensors` likewise, with paths and digests as lists in
JSON in its metadata. `.parquet` has columns of these names, with lists for rows of numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.reading import Array, check_arrays, check_type, one_sentence, open_regular, read_npz
from s2bnn_tf.teachers.parquet import read_parquet

SUFFIXES = (".npz", ".safetensors", ".parquet")
_CURE = "compute the features again"
_ROUNDING = 1e-3  # of a box that reaches the edge of its picture

# What each array must be; `embeddings` and `features` may have different widths.
ARRAYS = {
    "features": Array("f", ("rows", "features"), optional=True),
    "embeddings": Array("f", ("rows", "dimensions"), optional=True),
    "paths": Array("U", ("rows",), optional=True),
    "sha256": Array("U", ("rows",), optional=True),
    "boxes": Array("f", ("rows", 4), low=0.0, high=1.0 + _ROUNDING, optional=True),
    "flips": Array("bui", ("rows",), low=0, high=1, optional=True),
}


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """What a file holds.

    Attributes:
        name: The file, as the user knows it.
        features: float `(R, C)`.
        paths: The picture of each row; None if the file does not say.
        sha256: The SHA-256 of the picture's file, for each row; None if the file does not say.
        boxes: float32 `(R, 4)`, the crop of each row; None for whole pictures.
        flips: bool `(R,)`; None without boxes.
    """

    name: str
    features: NDArray[Any]
    paths: list[str] | None = None
    sha256: list[str] | None = None
    boxes: NDArray[np.float32] | None = None
    flips: NDArray[np.bool_] | None = None


def is_feature_file(weights: str | None) -> bool:
    """Whether `teacher.weights` names a file of features.

    A `.safetensors` file may hold a network too; it is one of features if it says so in its
    header.
    """
    path = Path(weights or "")
    if path.suffix != ".safetensors":
        return path.suffix in SUFFIXES
    try:
        with open_regular(path) as file:
            header = file.read(8 + 2**20)
    except OSError:
        return False
    return any(f'"{name}":'.encode() in header[8:] for name in ("features", "embeddings"))


def read_features(path: str | Path, output: str = "embedding") -> FeatureRows:
    """Read a file of features.

    Args:
        path: The file.
        output: What is taken of a file with both: `embedding` or `features`.

    Raises:
        CheckpointError: If there is no such file, or it is damaged or holds something else.
    """
    path = Path(path)
    try:
        arrays = _read(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"teacher.weights: there is no file {path}.") from error
    order = ("embeddings", "features") if output == "embedding" else ("features", "embeddings")
    found = next((arrays[name] for name in order if name in arrays), None)
    with one_sentence(path, _CURE, CheckpointError):
        if found is None:
            raise ValueError("it has neither features nor embeddings")
        if not found.size:
            raise ValueError("it has no rows")
        boxes, flips = arrays.get("boxes"), arrays.get("flips")
        if boxes is not None:
            _check_boxes(boxes)
            flips = np.zeros(len(boxes)) if flips is None else flips
        elif flips is not None and flips.any():
            raise ValueError("it has flips and no boxes")
    return FeatureRows(
        str(path),
        found,
        _texts(arrays.get("paths")),
        _texts(arrays.get("sha256")),
        None if boxes is None else boxes.astype(np.float32),
        None if boxes is None or flips is None else flips.astype(bool),
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if path.suffix == ".npz":
        return read_npz(path, ARRAYS, cure=_CURE, follow_links=True)
    with one_sentence(path, _CURE, CheckpointError):
        found = _read_safetensors(path) if path.suffix == ".safetensors" else read_parquet(path)
        for name, values in found.items():
            wanted = ARRAYS[name]
            check_type(name, values.dtype, wanted)
            if values.ndim != len(wanted.shape):
                raise ValueError(f"{name} has {values.ndim} dimensions, not {len(wanted.shape)}")
        check_arrays(found, ARRAYS)
    return found


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a `.safetensors` file; the package compares all sizes with the file's."""
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise OSError("reading it needs a package: pip install safetensors") from error
    open_regular(path).close()  # never a pipe, which the package would wait for
    with safe_open(path, framework="numpy") as file:
        try:
            found = {name: file.get_tensor(name) for name in file.keys() if name in ARRAYS}
        except (AttributeError, KeyError, TypeError) as error:  # bfloat16, for example
            raise ValueError(
                "it holds numbers of a type that NumPy lacks; save it as 32-bit floats"
            ) from error
        metadata = file.metadata() or {}
    for name in ("paths", "sha256"):
        if name in metadata:
            listed = json.loads(metadata[name])
            if not isinstance(listed, list) or not all(isinstance(x, str) for x in listed):
                raise ValueError(f"{name} in its metadata is no list of texts")
            found[name] = np.array(listed, np.str_)
    return found


def _check_boxes(boxes: NDArray[Any]) -> None:
    if (boxes[:, 2:] <= 0).any() or (boxes[:, :2] + boxes[:, 2:] > 1 + _ROUNDING).any():
        raise ValueError(
            "boxes reach beyond their pictures: top, left, height and width are shares of it"
        )


def _texts(values: NDArray[Any] | None) -> list[str] | None:
    return None if values is None else [str(value) for value in values]
