"""A text file that lists images: one path per line, with its class and its split if they matter."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from s2bnn_tf.data.folder import Listing
from s2bnn_tf.data.video import find_videos
from s2bnn_tf.errors import DataError
from s2bnn_tf.files import replace_file
from s2bnn_tf.reading import read_bytes
from s2bnn_tf.text import printable

_LARGEST = 2**30  # bytes; ten million lines of 100
_SPLITS = ("train", "test", "")


@dataclass(frozen=True)
class Listed:
    """An image of a list.

    Attributes:
        path: The file.
        label: The name of its class; empty if it has none.
        split: `train` or `test`; empty for `train`.
    """

    path: Path
    label: str = ""
    split: str = ""


def write_list(path: Path, images: Iterable[Listed]) -> None:
    """Write a list that `read_list` reads.

    Raises:
        DataError: If a path or class holds a tab or the end of a line.
        OSError: If the file cannot be written.
    """
    lines = []
    for image in images:
        fields = (str(image.path), image.label, image.split)
        if any(character in field for field in fields for character in "\t\r\n"):
            raise DataError(f"{printable(str(image.path))} cannot be listed; rename the file.")
        lines.append(os.fsencode("\t".join(fields).rstrip("\t")) + b"\n")
    replace_file(path, lambda partial: partial.write_bytes(b"".join(lines)))


def read_list(path: Path, split: str) -> Listing:
    """Read the images of one split of a list.

    Each line is a path, absolute or relative to the folder of the list; after a tab the name of
    its class; and after another tab `train` or `test`. Class and split may be left out, an image
    without a split is a training image, and empty lines mean nothing.

    Args:
        path: The list, in UTF-8.
        split: `train` or `test`.

    Raises:
        DataError: If the list cannot be read or is damaged, or has no image of this split.
    """
    try:
        text = os.fsdecode(read_bytes(path, limit=_LARGEST)).removeprefix("\ufeff")
    except OSError as error:
        raise DataError(f"Cannot read the list {path}: {error.strerror}.") from error
    images = [
        _parse(line.rstrip("\r"), path, number)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    chosen = [image for image in images if (image.split or "train") == split]
    if not chosen:
        column = "" if split == "train" else "; write test in the third column of some lines"
        raise DataError(f"{path} lists no {split} image{column}.")
    classes = sorted({image.label for image in images} - {""})
    numbers = {name: number for number, name in enumerate(classes)}
    labels = [numbers.get(image.label, -1) for image in chosen] if classes else None
    paths = [image.path for image in chosen]
    said = f"{printable(str(path))}: {len(images):,} pictures, {len(chosen):,} of them to {split}."
    names = tuple(map(printable, classes))
    return Listing(paths, labels, names, said, videos=find_videos(paths))


def _parse(line: str, path: Path, number: int) -> Listed:
    name, label, split, *more = [*line.split("\t"), "", ""][: max(3, line.count("\t") + 1)]
    if more or split not in _SPLITS or not name or "\0" in name:
        raise DataError(
            f"Line {number} of {path} is not a path, a class and train or test, with tabs between "
            f"them: {printable(line[:80])!r}."
        )
    return Listed(path.parent / name, label, split)
