"""The types of arrays, records of arrays, and the `.npz` files they are kept in."""

from __future__ import annotations

import zipfile
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.files import replace_file

if TYPE_CHECKING:
    from typing_extensions import Self

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
PixelArray = NDArray[np.uint8]
TextArray = NDArray[np.str_]


@dataclass(frozen=True)
class ArrayRecord:
    """A record whose fields are all arrays.

    A field is stored under its own name, or under the "key" in its metadata.
    """

    def save(self, path: Path | str) -> None:
        """Write an .npz without pickle."""
        arrays = {_key(field): getattr(self, field.name) for field in fields(self)}
        replace_file(Path(path), lambda file: np.savez_compressed(file, **arrays))

    @classmethod
    def load(cls, path: Path | str) -> Self | None:
        """Read a file that `save` wrote; None if there is none yet or it is damaged."""
        try:
            # np.load leaves a file open that turns out to be damaged.
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[_key(field)] for field in fields(cls)})
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
            return None


def _key(field: Field[Any]) -> str:
    return str(field.metadata.get("key", field.name))
