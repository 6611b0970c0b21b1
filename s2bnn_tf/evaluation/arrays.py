"""The types of arrays, records of arrays, and the `.npz` files they are kept in."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.files import save_arrays
from s2bnn_tf.reading import Array, read_npz

if TYPE_CHECKING:
    from typing_extensions import Self

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
PixelArray = NDArray[np.uint8]
TextArray = NDArray[np.str_]


@dataclass(frozen=True)
class ArrayRecord:
    """A record whose fields are all arrays, or None where a file may be without one.

    Each field has an `Array` in its metadata, which says what is accepted when a file is read. It
    is stored under its own name, or under the "key" in its metadata.
    """

    def save(self, path: Path | str) -> None:
        """Write an .npz without pickle."""
        arrays = {_key(field): getattr(self, field.name) for field in fields(self)}
        arrays = {key: array for key, array in arrays.items() if array is not None}
        save_arrays(Path(path), arrays, compressed=True)

    @classmethod
    def load(cls, path: Path | str) -> Self | None:
        """Read a file that `save` wrote; None if there is none yet.

        Raises:
            CheckpointError: If it is damaged.
        """
        wanted = {_key(field): field.metadata["array"] for field in fields(cls)}
        try:
            arrays = read_npz(path, wanted, cure="remove it, or run the evaluation again")
        except FileNotFoundError:
            return None
        return cls(**{field.name: arrays.get(_key(field)) for field in fields(cls)})


def stored(array: Array, key: str | None = None) -> Any:
    """Make the field of an `ArrayRecord`.

    Args:
        array: What is accepted when a file is read.
        key: The name in the file, if it is not that of the field.
    """
    metadata = {"array": array} | ({"key": key} if key else {})
    return field(default=None, metadata=metadata) if array.optional else field(metadata=metadata)


def _key(field: Field[Any]) -> str:
    return str(field.metadata.get("key", field.name))
