"""Images inside TFRecord files, each read on its own by its place in the file.

A packed data set is fully shuffled and exactly resumed like a folder, with a few large files in
place of a million small ones, and takes 24 bytes of memory per image.
"""

from __future__ import annotations

import glob
import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.errors import DataError
from s2bnn_tf.files import refuse_links
from s2bnn_tf.reading import Array, Field, ListOf, Text, open_regular, read_json, read_npz

IMAGE_KEYS = ("image", "image/encoded")
LABEL_KEYS = ("label", "image/class/label")

_MOST_CLASSES = 2**24
_AGAIN = "pack it again with: s2bnn data pack"
_PACKED = re.compile(r"(?:train|test)-\d{5,9}-of-\d{5,9}\.tfrecord")
_SUMMARY: dict[str, Field] = {
    "plan": Text(optional=True),
    "class_names": ListOf(Text()),
    "files": ListOf(Text()),
}
_INDEX = {
    "offset": Array("iu", ("images",), low=0),
    "length": Array("iu", ("images",), low=1, high=2**31),
    "size": Array("iu", ("images", 2), low=1, high=2**31),
    "label": Array("iu", ("images",), low=-1, high=_MOST_CLASSES),
    "bytes": Array("iu", (), low=0),
}


@dataclass(frozen=True)
class Record:
    """The encoded image in `length` bytes of a file, beginning at `offset`."""

    path: Path
    offset: int
    length: int

    def read_bytes(self) -> bytes:
        """Read the encoded image."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return os.pread(descriptor, self.length, self.offset)
        finally:
            os.close(descriptor)

    def __str__(self) -> str:
        return f"{self.path}, byte {self.offset}"


@dataclass(frozen=True, eq=False)
class Records:
    """Many records in little memory.

    Attributes:
        files: The TFRecord files.
        file: int32 `(N,)`, the number of the file that each image is in.
        offset: int64 `(N,)`, the byte of that file at which the image begins.
        length: int64 `(N,)`, the number of bytes of the image.
    """

    files: Sequence[Path]
    file: NDArray[np.int32]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.file)

    def __iter__(self) -> Iterator[Record]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Record:
        place = self.files[self.file[index]], int(self.offset[index]), int(self.length[index])
        return Record(*place)

    def select(self, indices: NDArray[np.int64]) -> Records:
        """Return these records only."""
        return Records(self.files, self.file[indices], self.offset[indices], self.length[indices])


@dataclass(frozen=True)
class Index:
    """The records of one split.

    Attributes:
        records: The places of N images.
        labels: int64 `(N,)`; None if there are no classes.
        class_names: The name of each class.
        sizes: int32 `(N, 2)`, the upright height and width of each image; None if unknown.
    """

    records: Records
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    sizes: NDArray[np.int32] | None = None


def open_index(location: str, split: str) -> Index:
    """Find the images of a split.

    Args:
        location: A folder that `s2bnn data pack` wrote, or a pattern of TFRecord files in which
            `{split}` is replaced by `train` or `test`; those files are read once to find the
            images.
        split: `train` or `test`.

    Raises:
        DataError: If nothing is found, or it is damaged.
    """
    folder = Path(location).expanduser()
    if folder.is_dir():
        return _open_packed(folder, split)
    if "{split}" not in location and split == "test":
        raise DataError(
            f"tfrecord:{location} has no test images; write {{split}} in the pattern in place "
            "of train or test."
        )
    files = [Path(p) for p in sorted(glob.glob(str(folder).replace("{split}", split)))]
    if not files:
        raise DataError(f"There is no file {location}; write tfrecord: and a folder or a pattern.")
    return scan_files(files)


def _open_packed(folder: Path, split: str) -> Index:
    path = folder / f"{split}.json"
    try:
        summary = read_json(path, _SUMMARY, cure=_AGAIN, error=DataError)
        names = summary["files"]
        if not names or not all(map(_PACKED.fullmatch, names)):
            raise DataError(f"{path} names no packed files; {_AGAIN}.")
        files = [folder / name for name in names]
        refuse_links(*files)
        parts = [read_index(file, len(summary["class_names"])) for file in files]
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no packed {split} images ({error.filename} is missing); "
            f"write them with: s2bnn data pack SOURCE {folder}."
        ) from error
    if not sum(len(part["offset"]) for part in parts):
        raise DataError(f"{folder} holds no {split} images; {_AGAIN}.")
    joined = {key: np.concatenate([p[key] for p in parts]) for key in ("offset", "length", "label")}
    number = np.repeat(np.arange(len(files), dtype=np.int32), [len(p["offset"]) for p in parts])
    labels = joined["label"] if summary["class_names"] else None
    records = Records(files, number, joined["offset"], joined["length"])
    sizes = np.concatenate([part["size"] for part in parts])
    return Index(records, labels, tuple(summary["class_names"]), sizes)


def read_index(file: Path, classes: int = 0) -> dict[str, NDArray[Any]]:
    """Read where the images of a packed file are, and check that the file has room for them.

    Args:
        file: The packed file.
        classes: The number of classes, or 0 if there are none.

    Returns:
        The arrays of `_INDEX` for N images.

    Raises:
        FileNotFoundError: If the file or its index is missing.
        DataError: If they are damaged or do not fit each other.
    """
    index = file.with_suffix(".npz")
    part = read_npz(index, _INDEX, cure=_AGAIN, error=DataError)
    size = file.stat().st_size
    if size != part["bytes"]:
        raise DataError(f"{file} does not have the size it was written with; {_AGAIN}.")
    if not len(part["offset"]):
        return part
    if (part["offset"] + part["length"]).max() > size:
        raise DataError(f"{index} places images behind the end of {file.name}; {_AGAIN}.")
    if classes and part["label"].max() >= classes:
        raise DataError(f"{index} has a label beyond the {classes} classes; {_AGAIN}.")
    return part


def scan_files(files: Sequence[Path], class_names: tuple[str, ...] = ()) -> Index:
    """Read TFRecord files of `tf.train.Example`s once, to find where their images are.

    The image is the feature `image` or `image/encoded`; its class is the number in `label` or
    `image/class/label`.

    Args:
        files: The TFRecord files.
        class_names: The name of each class, if known; defaults to the numbers of the classes.

    Raises:
        DataError: If a file is damaged or an example holds no image.
    """
    number, offset, length, label = [], [], [], []
    for index, file in enumerate(files):
        for begin, data in read_records(file):
            features = parse_example(file, data)
            image = _feature(features, IMAGE_KEYS, "bytes_list")
            if image is None:
                raise DataError(f"{file} holds no feature {' or '.join(IMAGE_KEYS)}.")
            number.append(index)
            offset.append(begin + data.index(image))
            length.append(len(image))
            label.append(_feature(features, LABEL_KEYS, "int64_list"))
            if label[-1] is not None and not -1 <= label[-1] < _MOST_CLASSES:
                raise DataError(
                    f"{file} has the label {label[-1]}; labels are numbers from 0 to "
                    f"{_MOST_CLASSES - 1:,}."
                )
    labeled = bool(label) and all(value is not None for value in label)
    labels = np.array(label, np.int64) if labeled else None
    if labels is not None and not class_names:
        class_names = tuple(str(i) for i in range(int(labels.max()) + 1))
    places = np.array(number, np.int32), np.array(offset, np.int64), np.array(length, np.int64)
    return Index(Records(files, *places), labels, class_names)


def open_tfds(name: str, split: str) -> Index:
    """Find the images of a prepared data set of TensorFlow Datasets, in its own files.

    Args:
        name: The name that `tensorflow_datasets.builder` takes. The data set is searched for in
            the folder `TFDS_DATA_DIR`, or in the default folder of TensorFlow Datasets.
        split: `train`, or `test`, which is `validation` where there is no `test`.

    Raises:
        DataError: If the data set is unknown, is not prepared here, or has no such split.
    """
    # Imported here: it takes seconds, and only its users should wait for it.
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            f"tfds:{name} needs TensorFlow Datasets, which is not installed ({error}): install it "
            "with `make zoo`, or `pip install tensorflow-datasets`."
        ) from error
    try:
        builder = tfds.builder(name)
    except (ValueError, tfds.core.registered.DatasetNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"tfds:{name} cannot be opened: {reason}") from error
    splits = builder.info.splits
    found = split if split in splits or split == "train" else "validation"
    if found not in splits:
        raise DataError(
            f"tfds:{name} has no {split} images in {builder.data_dir}; prepare it there first "
            f"with: tfds build {name}, or set TFDS_DATA_DIR."
        )
    features = builder.info.features
    names = tuple(getattr(features["label"], "names", ())) if "label" in features else ()
    return scan_files([Path(path) for path in splits[found].filepaths], names)


def read_records(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the place of its first byte and the contents of each record; checksums are verified.

    Raises:
        DataError: If the file is truncated or altered.
    """
    offset = 0
    try:
        open_regular(file).close()
        for data in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            yield offset + 12, data
            offset += 12 + len(data) + 4
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}.") from error
    except (tf.errors.DataLossError, struct.error) as error:
        raise DataError(f"{file} is damaged from byte {offset}; replace it.") from error


def parse_example(file: Path, data: bytes) -> Any:
    """Return the features of a record by name.

    Raises:
        DataError: If the record is no `tf.train.Example`.
    """
    try:
        return tf.train.Example.FromString(data).features.feature
    except Exception as error:  # each of protobuf's implementations raises its own
        raise DataError(
            f"{file} holds a record that is no tf.train.Example; replace it."
        ) from error


def _feature(features: Any, keys: tuple[str, ...], kind: str) -> Any:
    """Return the first value of the first of these features that an example has, or None."""
    for key in keys:
        if key in features and getattr(features[key], kind).value:
            return getattr(features[key], kind).value[0]
    return None
