"""Batches of images straight from files.

tf.data calls these functions from several threads; Pillow and OpenCV work outside Python's lock.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from s2bnn_tf.data.changes import Changes, change_view
from s2bnn_tf.data.decode import decode, failure_reason
from s2bnn_tf.data.pixels import resize
from s2bnn_tf.data.records import Record
from s2bnn_tf.data.sources import ImageSource
from s2bnn_tf.errors import UserError

logger = logging.getLogger(__name__)

_NAMED_WHILE_READING = 5


def make_views(
    source: ImageSource, indices: np.ndarray, boxes: np.ndarray, changes: Changes, size: int
) -> list[np.ndarray]:
    """Cut V boxes out of each image and make views of them, each file decoded once.

    A file that turns out to be damaged gives its place to the next readable one, so that the
    batch keeps its size, and the same batch comes out whenever the same files are damaged.

    Args:
        source: Images in files.
        indices: `(B,)` which images.
        boxes: `(B, V, 4)`: top, left, height, width of V boxes in each.
        changes: What happens to each, `(B * V, ...)`.
        size: Side S of the views.

    Returns:
        V arrays, uint8 `(B, S, S, 3)`.

    Raises:
        UserError: If no file of the source can be read.
    """
    count, views, _ = boxes.shape
    result = [np.empty((count, size, size, 3), np.uint8) for _ in range(views)]
    for row, (index, relative) in enumerate(zip(indices, _relative_boxes(source, indices, boxes))):
        for view, crop in enumerate(_read_or_replace(source, index, relative, size)):
            result[view][row] = change_view(crop, changes.of(row * views + view))
    return result


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
    """Resize each image that can be read, and keep its center.

    Args:
        source: Images in files.
        indices: `(B,)` which images.
        shorter_side: Its length after resizing.
        size: Side of the center that is kept, at most `shorter_side`.

    Returns:
        uint8 `(M, size, size, 3)` and the `(M,)` indices they come from, M at most B.
    """

    def read(index: int) -> np.ndarray | None:
        image = _decode_or_note(source, index, None)
        if image is None:
            return None
        height, width = resized_shape(image.shape, shorter_side)
        # By Pillow, to the pixel what torchvision does: published scores are measured on these.
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        top, left = center_offset(height, size), center_offset(width, size)
        return np.asarray(resized.crop((left, top, left + size, top + size)))

    return _readable(list(map(read, indices)), indices, size)


def resized_shape(shape: tuple[int, ...], shorter_side: int) -> tuple[int, int]:
    """Height and width after a resize of the shorter side, as torchvision rounds them."""
    height, width = (int(side) for side in shape[:2])
    if height <= width:
        return shorter_side, int(shorter_side * width / height)
    return int(shorter_side * height / width), shorter_side


def center_offset(length: int, size: int) -> int:
    """Where the centered `size` pixels of `length` begin, as torchvision rounds it."""
    return round((length - size) / 2)


def _read_or_replace(
    source: ImageSource, index: int, relative: np.ndarray, size: int
) -> list[np.ndarray]:
    for step in range(len(source)):
        crops = _read_crops(source, (index + step) % len(source), relative, size)
        if crops is not None:
            return crops
    raise UserError(f"None of the images in {source.name} can be read; replace them.")


def _read_crops(
    source: ImageSource, index: int, relative: np.ndarray, size: int
) -> list[np.ndarray] | None:
    smallest = relative[:, 2:].min(axis=0)
    image = _decode_or_note(source, index, (size / smallest[0], size / smallest[1]))
    if image is None:
        return None
    boxes = np.round(relative * np.tile(image.shape[:2], 2)).astype(int).tolist()
    return [
        resize(image[top : top + max(height, 1), left : left + max(width, 1)], size)
        for top, left, height, width in boxes
    ]


def _relative_boxes(source: ImageSource, indices: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Boxes as shares of the image, which hold at any resolution it is decoded at."""
    assert source.sizes is not None
    return boxes / np.tile(source.sizes[indices], 2)[:, np.newaxis]


def _decode_or_note(
    source: ImageSource, index: int, minimum_size: tuple[float, float] | None
) -> np.ndarray | None:
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
