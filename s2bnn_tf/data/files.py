"""Batches of images straight from files, decoded and resized by Pillow.

tf.data calls these functions from several threads; Pillow works outside Python's lock.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from s2bnn_tf.data.decode import decode, failure_reason
from s2bnn_tf.data.records import Record
from s2bnn_tf.data.sources import ImageSource
from s2bnn_tf.errors import UserError

logger = logging.getLogger(__name__)

_NAMED_WHILE_READING = 5


def crop_files(
    source: ImageSource, indices: np.ndarray, boxes: np.ndarray, size: int
) -> np.ndarray:
    """Cut boxes out of images and resize them, each file decoded once.

    A file that turns out to be damaged gives its place to the next readable one, so that the
    batch keeps its size, and the same batch comes out whenever the same files are damaged.

    Args:
        source: Images in files.
        indices: `(B,)` which images.
        boxes: `(B, V, 4)`: top, left, height, width of V boxes in each.
        size: Side of the result.

    Returns:
        uint8 `(B, V, size, size, 3)`.

    Raises:
        UserError: If no file of the source can be read.
    """

    def read(index: int, relative: np.ndarray) -> np.ndarray:
        for step in range(len(source)):
            crops = _read_crops(source, (index + step) % len(source), relative, size)
            if crops is not None:
                return crops
        raise UserError(f"None of the images in {source.name} can be read; replace them.")

    relative = _relative_boxes(source, indices, boxes)
    return np.stack(list(map(read, indices, relative)))


def crop_readable_files(
    source: ImageSource, indices: np.ndarray, boxes: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut one box out of each image that can be read.

    Args:
        source: Images in files.
        indices: `(B,)` which images.
        boxes: `(B, 4)`: top, left, height, width.
        size: Side of the result.

    Returns:
        uint8 `(M, size, size, 3)` and the `(M,)` indices they come from, M at most B.
    """
    relative = _relative_boxes(source, indices, boxes[:, np.newaxis])
    crops = [_read_crops(source, index, box, size) for index, box in zip(indices, relative)]
    return _readable([None if crop is None else crop[0] for crop in crops], indices, size)


def resize_readable_files(
    source: ImageSource, indices: np.ndarray, shorter_side: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Resize each image that can be read, and keep its centre.

    Args:
        source: Images in files.
        indices: `(B,)` which images.
        shorter_side: Its length after resizing.
        size: Side of the centre that is kept, at most `shorter_side`.

    Returns:
        uint8 `(M, size, size, 3)` and the `(M,)` indices they come from, M at most B.
    """

    def read(index: int) -> np.ndarray | None:
        image = _decode_or_note(source, index, None)
        if image is None:
            return None
        height, width = resized_shape((image.height, image.width), shorter_side)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        top, left = centre_offset(height, size), centre_offset(width, size)
        return np.asarray(image.crop((left, top, left + size, top + size)))

    return _readable(list(map(read, indices)), indices, size)


def resized_shape(shape: tuple[int, ...], shorter_side: int) -> tuple[int, int]:
    """Height and width after a resize of the shorter side, as torchvision rounds them."""
    height, width = (int(side) for side in shape)
    if height <= width:
        return shorter_side, int(shorter_side * width / height)
    return int(shorter_side * height / width), shorter_side


def centre_offset(length: int, size: int) -> int:
    """Where the centred `size` pixels of `length` begin, as torchvision rounds it."""
    return round((length - size) / 2)


def _read_crops(
    source: ImageSource, index: int, relative: np.ndarray, size: int
) -> np.ndarray | None:
    smallest = relative[:, 2:].min(axis=0)
    image = _decode_or_note(source, index, (size / smallest[0], size / smallest[1]))
    if image is None:
        return None
    scale = np.array([image.height, image.width] * 2)
    crops = []
    for top, left, height, width in np.round(relative * scale).astype(int):
        # Cut first: a resize with a box would look across its borders.
        cut = image.crop((left, top, left + max(width, 1), top + max(height, 1)))
        crops.append(np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR)))
    return np.stack(crops)


def _relative_boxes(source: ImageSource, indices: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Boxes as shares of the image, which hold at any resolution it is decoded at."""
    assert source.sizes is not None
    return boxes / np.tile(source.sizes[indices], 2)[:, np.newaxis]


def _decode_or_note(
    source: ImageSource, index: int, minimum_size: tuple[float, float] | None
) -> Image.Image | None:
    path = source.paths[index]
    if path in source.unreadable:
        return None
    try:
        return decode(path, minimum_size)
    except Exception as error:  # noqa: BLE001  a broken file can raise nearly anything inside a decoder
        _note(source.unreadable, path, failure_reason(error))
        return None


def _note(unreadable: dict[Path | Record, str], path: Path | Record, reason: str) -> None:
    unreadable[path] = reason
    if len(unreadable) <= _NAMED_WHILE_READING:
        logger.warning("Skipped %s: %s.", path, reason)


def _readable(
    images: list[np.ndarray | None], indices: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    kept = [i for i, image in enumerate(images) if image is not None]
    stacked = np.array([images[i] for i in kept], dtype=np.uint8)
    return stacked.reshape(-1, size, size, 3), indices[kept]
