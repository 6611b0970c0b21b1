"""Records of arrays, and the `.npz` files they are kept in."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s2bnn_tf.files import replace_file

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class ArrayRecord:
    """A record whose fields are all arrays."""

    def save(self, path: Path | str) -> None:
        """Write an .npz without pickle."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        replace_file(Path(path), lambda file: np.savez_compressed(file, **arrays))

    @classmethod
    def load(cls, path: Path | str) -> Self | None:
        """Read what `save` wrote; None if there is none yet or it is broken."""
        try:
            # np.load leaves a file open that turns out to be damaged.
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[field.name] for field in fields(cls)})
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
            return None
