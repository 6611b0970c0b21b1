"""The parts of a picture that are looked at one by one: a region, and tiles of it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.errors import PictureError

_LARGEST_PLACE = 2**24  # pixels
MOST_TILES = 16  # along each side

Box = tuple[int, int, int, int]  # left, top, width and height in pixels of the upright picture


@dataclass(frozen=True)
class Regions:
    """What of a picture a network sees.

    By default that is its center, as for every other verb. With a region or tiles, each part is
    resized to the network's input as a whole, whatever its shape, so that nothing goes unseen.

    Attributes:
        roi: The region, or None for the whole picture.
        tiles: The tiles along each side of it.
    """

    roi: Box | None = None
    tiles: int = 1

    @property
    def is_center(self) -> bool:
        """Whether the network sees the center of the picture."""
        return self.roi is None and self.tiles == 1

    def cut(self, pixels: NDArray[np.uint8], name: object) -> list[NDArray[np.uint8]]:
        """The tiles of the region, row by row, each `(H, W, 3)`.

        Raises:
            PictureError: If the region is not inside of the picture, or has fewer pixels than
                tiles; the message begins with the name.
        """
        height, width = pixels.shape[:2]
        left, top, wide, high = self.roi or (0, 0, width, height)
        if left + wide > width or top + high > height:
            raise PictureError(
                f"{name} has {width}x{height} pixels, and the region {describe(self.roi)} reaches "
                "beyond them; choose another --roi"
            )
        if self.tiles > min(wide, high):
            raise PictureError(f"{name} has fewer pixels than tiles; choose fewer --tiles")
        rows, columns = (
            np.linspace(start, start + length, self.tiles + 1).round().astype(int)
            for start, length in ((top, high), (left, wide))
        )
        return [
            pixels[above:below, before:behind]
            for above, below in zip(rows, rows[1:])
            for before, behind in zip(columns, columns[1:])
        ]

    def grid(self, parts: NDArray[Any]) -> NDArray[Any]:
        """Join the maps of the tiles, `(tiles * tiles, h, w)`, to one map `(H, W)`."""
        _, height, width = parts.shape
        square = parts.reshape(self.tiles, self.tiles, height, width)
        return square.swapaxes(1, 2).reshape(self.tiles * height, self.tiles * width)


def describe(roi: Box | None) -> str:
    """A region as it is written on the command line."""
    return "none" if roi is None else ",".join(map(str, roi))


def read_roi(text: str) -> Box:
    """Read X,Y,W,H from the command line."""
    words = text.split(",")
    if len(words) != 4 or not all(word.isascii() and word.isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"four whole numbers X,Y,W,H are needed, not {text!r}")
    left, top, width, height = (int(word) for word in words)
    if not width or not height or max(left, top, width, height) > _LARGEST_PLACE:
        raise argparse.ArgumentTypeError(f"{text} is no region: W and H are at least 1 pixel")
    return left, top, width, height


def read_tiles(text: str) -> int:
    """Read the number of tiles from the command line."""
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MOST_TILES:
        raise argparse.ArgumentTypeError(f"a number from 1 to {MOST_TILES} is needed, not {text}")
    return int(text)
