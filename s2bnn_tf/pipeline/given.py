"""Images that come as arrays or data sets become files, which every stage can read again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from s2bnn_tf.data import Listed, write_list
from s2bnn_tf.errors import DataError

_TEST_SHARE = 5  # every fifth image of a class measures


def write_images(images: Any, folder: Path) -> Path:
    """Write images as PNG files, and a list of them.

    Args:
        images: An array (N, H, W, 3) uint8; a `tf.data.Dataset`, single or batched, or a
            `keras.utils.Sequence`, of images or of (image, label).
        folder: The folder of the files; `images.tsv` in it is the list.

    Returns:
        The list.

    Raises:
        DataError: If an image is not RGB in bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed: list[Listed] = []
    seen: dict[str, int] = {}
    for number, (pixels, label) in enumerate(_each(images)):
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise DataError(
                f"An image is an array (H, W, 3) of uint8, not {pixels.shape} of {pixels.dtype}."
            )
        path = folder / f"{number:07}.png"
        Image.fromarray(pixels).save(path)
        seen[label] = seen.get(label, 0) + 1
        split = "test" if seen[label] % _TEST_SHARE == 0 else "train"
        listed.append(Listed(path.resolve(), label, split))
    write_list(folder / "images.tsv", listed)
    return folder / "images.tsv"


def is_given(data: object) -> bool:
    """Whether these are images themselves, and not the names of files."""
    if isinstance(data, (str, Path)):
        return False
    if isinstance(data, np.ndarray):
        return True
    return not (isinstance(data, Sequence) and all(isinstance(x, (str, Path)) for x in data))


def _each(images: Any) -> Iterable[tuple[Any, str]]:
    """Single images with the name of their class, from whatever holds them."""
    batches = images.as_numpy_iterator() if hasattr(images, "as_numpy_iterator") else images
    count = len(images) if hasattr(images, "__getitem__") and hasattr(images, "__len__") else None
    items = batches if count is None else (images[i] for i in range(count))
    for item in items:
        pixels, labels = item if isinstance(item, tuple) else (item, None)
        pixels = np.asarray(pixels)
        if pixels.ndim == 3:
            yield pixels, "" if labels is None else str(_number(labels))
            continue
        names = [""] * len(pixels) if labels is None else [str(_number(x)) for x in labels]
        yield from zip(pixels, names)


def _number(label: Any) -> Any:
    value = np.asarray(label)
    return int(value.argmax()) if value.ndim else value.item()
