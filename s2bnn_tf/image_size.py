"""The size of a network's input: one number for a square, or height and width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

# Pixels: the side of a square, or height and width.
ImageSize: TypeAlias = int | tuple[int, int]
# Height and width in pixels, and the number of channels, 1 or 3.
Shape: TypeAlias = tuple[int, int, int]


def height_width(size: ImageSize) -> tuple[int, int]:
    """Return height and width in pixels.

    >>> height_width(224), height_width((96, 320))
    ((224, 224), (96, 320))
    """
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def image_size(shape: Sequence[int]) -> ImageSize:
    """Return the size of images of a height and width, which is one number for a square.

    >>> image_size((224, 224)), image_size((96, 320))
    (224, (96, 320))
    """
    height, width = shape
    return height if height == width else (height, width)


def plain_size(size: ImageSize) -> int | list[int]:
    """Return a size as JSON and YAML hold it.

    >>> plain_size(224), plain_size((96, 320))
    (224, [96, 320])
    """
    return size if isinstance(size, int) else list(size)


def describe_size(size: ImageSize | Sequence[int]) -> str:
    """Return a size in words, the height first.

    >>> describe_size(224), describe_size((96, 320))
    ('224x224', '96x320')
    """
    return f"{size}x{size}" if isinstance(size, int) else "x".join(map(str, size))
