"""Images that come as arrays or data sets become files, which every stage can read again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from s2bnn_tf.errors import DataError
from s2bnn_tf.files import write_text

_MARK = ".images"  # in the folder: their digest, or that writing them has only begun
_BEGUN = "begun"
_MOST_CHANNELS = 4  # an axis that is longer is the width of gray images


def write_images(images: Any, folder: Path) -> Path:
    """Write images as PNG files, in one folder per class, unless they are there.

    Args:
        images: An array (N, H, W, 3), or gray, (N, H, W) or (N, H, W, 1), uint8; a
            `tf.data.Dataset`, single or batched, or a `keras.utils.Sequence`, of images or of
            (image, label).
        folder: The folder of the files.

    Returns:
        The folder.

    Raises:
        DataError: If an image is neither RGB nor gray in bytes, or the folder has other images.
    """
    mark = folder / _MARK
    found = mark.read_text().strip() if mark.is_file() else None
    if found is None and folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} holds other files; choose another output_dir.")
    if found not in (None, _BEGUN):
        if _digest(_checked(images)) != found:
            raise DataError(
                f"{folder} has the images of an earlier call, which were others; give those "
                "again, or choose another output_dir."
            )
        return folder
    if found == _BEGUN:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(mark, _BEGUN)
    write_text(mark, _digest(_written(_checked(images), folder)))
    return folder


def is_given(data: object) -> bool:
    """Whether these are images themselves, and not the names of files."""
    if isinstance(data, (str, Path)):
        return False
    if isinstance(data, np.ndarray):
        return True
    return not (isinstance(data, Sequence) and all(isinstance(x, (str, Path)) for x in data))


def _written(
    images: Iterable[tuple[NDArray[np.uint8], str]], folder: Path
) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """The images again, each written to a file."""
    for number, (pixels, label) in enumerate(images):
        place = folder / quote(label, safe=" ")
        place.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:07}.png")
        yield pixels, label


def _digest(images: Iterable[tuple[NDArray[np.uint8], str]]) -> str:
    content = hashlib.sha256()
    for pixels, label in images:
        content.update(f"{pixels.shape} {label}\n".encode())
        content.update(np.ascontiguousarray(pixels).data)
    return content.hexdigest()


def _checked(images: Any) -> Iterator[tuple[NDArray[np.uint8], str]]:
    for pixels, label in _each(images):
        gray = pixels.ndim == 2 or pixels.shape[2:] == (1,)
        if not (gray or pixels.shape[2:] == (3,)) or pixels.dtype != np.uint8:
            raise DataError(
                "An image is an array (H, W, 3) of uint8, or gray, (H, W) or (H, W, 1), not "
                f"{pixels.shape} of {pixels.dtype}."
            )
        yield pixels.reshape(pixels.shape[:2]) if gray else pixels, label


def _each(images: Any) -> Iterator[tuple[NDArray[Any], str]]:
    """Single images with the name of their class, from whatever holds them."""
    if not (hasattr(images, "__getitem__") or hasattr(images, "__iter__")):
        raise DataError(
            "data: expected a folder, files, an array (N, H, W, 3), a tf.data.Dataset or a "
            f"keras.utils.Sequence, not {type(images).__name__}."
        )
    batches = images.as_numpy_iterator() if hasattr(images, "as_numpy_iterator") else images
    count = len(images) if hasattr(images, "__getitem__") and hasattr(images, "__len__") else None
    items = batches if count is None else (images[i] for i in range(count))
    for item in items:
        pixels, labels = item if isinstance(item, tuple) else (item, None)
        pixels = np.asarray(pixels)
        if _is_single(pixels):
            yield pixels, "" if labels is None else _name(labels)
            continue
        names = [""] * len(pixels) if labels is None else [_name(x) for x in labels]
        yield from zip(pixels, names)


def _is_single(pixels: NDArray[Any]) -> bool:
    """Whether these are one image, and not a batch: a gray one may have no axis of channels."""
    return pixels.ndim < 3 or (pixels.ndim == 3 and pixels.shape[2] <= _MOST_CHANNELS)


def _name(label: Any) -> str:
    """The name of a class: a number, the place of the 1 in a one-hot vector, or a text."""
    value = np.asarray(label)
    single = int(value.argmax()) if value.ndim else value.item()
    return single.decode() if isinstance(single, bytes) else str(single)
