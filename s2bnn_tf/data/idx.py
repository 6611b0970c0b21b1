"""Files in the IDX format of MNIST and Fashion-MNIST, gzipped or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import DataError
from s2bnn_tf.reading import open_regular

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_LARGEST = 2**31  # bytes; the training images of MNIST and its kin have 47 MB, of EMNIST 547 MB


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Args:
        path: The file; it is gzipped if its name ends in `.gz`.

    Returns:
        uint8 array of the shape that the header gives.

    Raises:
        DataError: If the file is not IDX, is damaged, or holds values of another type.

    References:
        http://yann.lecun.com/exdb/mnist/ (the format, at the bottom of the page).
    """
    try:
        with open_regular(path) as file:
            stream = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            data = stream.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"Cannot read {path} ({error}); fetch the file again.") from error
    if len(data) > _LARGEST:
        raise DataError(f"{path} holds more than {_LARGEST:,} bytes; pack larger data instead.")
    if len(data) < 4 or data[:2] != b"\0\0":
        raise DataError(f"{path} is not an IDX file; expected the format of the MNIST files.")
    kind, dimensions = data[2], data[3]
    if kind != 0x08:
        raise DataError(f"{path} holds values of IDX type 0x{kind:02x}; expected bytes, 0x08.")
    start = 4 + 4 * dimensions
    shape = struct.unpack_from(f">{dimensions}I", data, 4) if len(data) >= start else ()
    if len(data) - start != math.prod(shape):
        raise DataError(f"{path} is not as long as its header says; fetch the file again.")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def load_idx(
    directory: Path, split: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Load the images and labels of one split.

    Args:
        directory: The folder with the `train-*` and `t10k-*` files, gzipped or not.
        split: `train` or `test`.

    Returns:
        RGB images uint8 `(N, H, W, 3)`, labels int64 `(N,)`, class names. The names are the
        numbers of the classes, or those of Fashion-MNIST if the folder's name contains "fashion".

    Raises:
        DataError: If a file is missing or damaged, or images and labels do not match.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    images_path = _find(directory, f"{prefix}-images", "idx3-ubyte")
    labels_path = _find(directory, f"{prefix}-labels", "idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.size == 0:
        raise DataError(
            f"{images_path} has shape {images.shape}; expected (images, rows, columns)."
        )
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{images_path} has {len(images)} images, but {labels_path} is of shape {labels.shape}."
        )
    count = int(labels.max()) + 1
    fashion = "fashion" in directory.resolve().name.lower() and count == len(FASHION_MNIST_CLASSES)
    names = FASHION_MNIST_CLASSES if fashion else tuple(str(i) for i in range(count))
    return np.repeat(images[..., np.newaxis], 3, axis=-1), labels.astype(np.int64), names


def _find(directory: Path, stem: str, kind: str) -> Path:
    for separator in "-.":
        for suffix in ("", ".gz"):
            path = directory / f"{stem}{separator}{kind}{suffix}"
            if path.is_file():
                return path
    raise DataError(f"There is no {stem}-{kind} or {stem}-{kind}.gz in {directory}.")
