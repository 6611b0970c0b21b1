"""The 1-bit codes of an index of `s2bnn-run index` as C."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import ModelError
from s2bnn_tf.export.c_source.constants import Constants, string_array
from s2bnn_tf.export.c_source.parts import Function, device_errors, open_encoder, space_of

_MOST_PICTURES = 65_536  # a megabyte of codes
_LARGEST = 32_767  # of a direction in 16 bits


@dataclass(frozen=True)
class IndexPart:
    """What the C source of `search` is written from.

    Attributes:
        names: The path of each picture from the folder that all are in.
        codes: Bit i of word w is the sign along direction 32 * w + i, uint32 `(N, 4)`.
        center: What is subtracted from a vector of unit length, `(D,)`.
        directions: Each in 16 bits and a unit of its own, `(128, D)`.
    """

    names: list[str]
    codes: NDArray[np.uint32]
    center: NDArray[np.float32]
    directions: NDArray[np.int16]

    key: ClassVar[str] = "index"
    usage: ClassVar[str] = (
        "`@NAME@_search(@VECTOR@, 5, numbers, differing)` of `@NAME@_index.h` finds the\n   "
        "5 most similar pictures; `@NAME@_picture_name(number)` is the name of one."
    )

    def describe(self) -> dict[str, Any]:
        """See `Part`."""
        arrays = (self.codes, self.center, self.directions)
        names = sum(len(name.encode()) + 5 for name in self.names)  # with an address of 4 bytes
        return {
            "pictures": len(self.names),
            "flash_bytes": sum(array.nbytes for array in arrays) + names,
            "ram_bytes": 0,
        }

    def macros(self, macro: str) -> list[str]:
        """See `Part`."""
        return [f"#define {macro}_PICTURES {len(self.names)}"]

    def functions(self, name: str) -> list[Function]:
        """See `Part`."""
        return [
            (
                f"int32_t {name}_search(const float* embedding, int32_t wanted, int32_t* numbers,\n"
                "    int32_t* differing)",
                "\n  return s2bnn_search(&pictures, embedding, wanted, numbers, differing);\n",
            ),
            (
                f"const char* {name}_picture_name(int32_t number)",
                "\n  return s2bnn_picture_name(&pictures, number);\n",
            ),
        ]

    def code(self) -> list[str]:
        """See `Part`."""
        constants = Constants()
        center = constants.add("center", self.center)
        directions = constants.add("directions", self.directions)
        codes = constants.add("codes", self.codes)
        return [
            *constants.lines,
            *string_array("names", self.names),
            "",
            f"static const s2bnn_index pictures = {{{len(self.names)}, {len(self.center)},",
            f"    {center}, {directions}, {codes}, names}};",
        ]


def read_index(path: str | Path, *, model: str | Path) -> IndexPart:
    """Read what `s2bnn-run index` wrote.

    Args:
        path: The .npz.
        model: The `.tflite` whose vectors it holds.

    Raises:
        DeviceError: If the runtime is not installed, or the file cannot be read.
        ModelError: If it is empty, too large, or of another network.
    """
    encoder = open_encoder(model, "an index holds vectors")
    with device_errors("--index", path):
        from s2bnn_runtime.codes import _rotation
        from s2bnn_runtime.index import PictureIndex

        index = PictureIndex.load(path)
    if index.space != space_of(encoder) or (
        len(index) and index.vectors.shape[1] != encoder.feature_dim
    ):
        raise ModelError(
            f"{path} was made with another network than {model}: index the pictures with it into "
            "another file."
        )
    if not 0 < len(index) <= _MOST_PICTURES:
        raise ModelError(
            f"{path} holds {len(index)} pictures, and C source is made of 1 to {_MOST_PICTURES}: "
            "index others with `s2bnn-run index`."
        )
    bits = np.unpackbits(np.asarray(index._codes).view(np.uint8), axis=1)
    codes = np.packbits(bits, axis=1, bitorder="little").view("<u4").astype(np.uint32)
    directions = _rotation(len(index._center)).T.astype(np.float64)
    units = np.abs(directions).max(axis=1, keepdims=True) / _LARGEST
    return IndexPart(
        _shortened(index.paths),
        codes,
        np.array(index._center, np.float32),
        np.round(directions / units).astype(np.int16),
    )


def _shortened(paths: list[str]) -> list[str]:
    """Paths from the folder that all are in; what is no text in them is replaced."""
    whole = [os.path.abspath(path) for path in paths]
    folder = os.path.commonpath([os.path.dirname(path) for path in whole])
    names = [os.path.relpath(path, folder) for path in whole]
    return [name.encode("utf-8", "replace").decode() for name in names]
