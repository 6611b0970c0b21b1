"""Images in files: one file each, or many in each TFRecord file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data.decoded_source import DecodedSource
from s2bnn_tf.data.pictures import decode, read_file, upright_size
from s2bnn_tf.data.records import Record, Records
from s2bnn_tf.reading import open_regular

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, eq=False)
class FileSource(DecodedSource):
    """Images in one file each.

    Attributes:
        paths: N files of the formats that `load_image` reads.
        videos: The video of each file that is a frame of one. Users know such a frame by the path
            of its video and its own name, as if the video were a folder.
    """

    paths: tuple[Path, ...]
    videos: Mapping[Path, Path] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> Self:
        chosen = np.asarray(indices, dtype=np.int64)
        paths = tuple(self.paths[i] for i in chosen)
        labels = self.select_labels(chosen)
        return replace(self, labels=labels, sizes=self.sizes[chosen], paths=paths)

    def identify(self, index: int) -> str:
        path = self.paths[index]
        video = self.videos.get(path)
        return str(path if video is None else video / path.name)

    def contents(self) -> Iterator[bytes]:
        return _hash_each(self.paths)

    def digests(self) -> list[str]:
        return [digest.hex() for digest in _hash_each(self.paths)]

    def decode(
        self, index: int, minimum_size: tuple[float, float] | None = None
    ) -> NDArray[np.uint8]:
        return decode(read_file(self.paths[index]), minimum_size)

    def measure(self, index: int) -> tuple[int, int]:
        with open_regular(self.paths[index]) as file:
            return upright_size(file)


@dataclass(frozen=True, eq=False)
class RecordSource(DecodedSource):
    """Images in TFRecord files.

    Attributes:
        records: N places in those files.
    """

    records: Records

    def __len__(self) -> int:
        return len(self.records)

    def select(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> Self:
        chosen = np.asarray(indices, dtype=np.int64)
        labels, records = self.select_labels(chosen), self.records.select(chosen)
        return replace(self, labels=labels, sizes=self.sizes[chosen], records=records)

    def identify(self, index: int) -> str:
        return str(self.records[index])

    def contents(self) -> Iterator[bytes]:
        return _hash_each(self.records)

    def digests(self) -> list[str]:
        return [digest.hex() for digest in _hash_each(self.records)]

    def decode(
        self, index: int, minimum_size: tuple[float, float] | None = None
    ) -> NDArray[np.uint8]:
        return decode(self.records[index].read_bytes(), minimum_size)

    def measure(self, index: int) -> tuple[int, int]:
        return upright_size(io.BytesIO(self.records[index].read_bytes()))


def _hash_each(files: Sequence[Path] | Records) -> Iterator[bytes]:
    file: Path | Record
    for file in files:
        try:
            yield hashlib.sha256(file.read_bytes()).digest()
        except OSError:
            yield b"unreadable"
