"""Pictures of where something is unusual."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.files import replaced
from s2bnn_runtime.regions import Regions

_LARGEST = 1024  # pixels of the longer side
_RED = np.array([255, 0, 0], np.float32)
_STRONGEST = 0.7  # share of red where it is most unusual


def free_names(folder: Path, paths: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Each picture and a file in a folder that is named like it; equal names are numbered."""
    taken: dict[str, Path] = {}
    for path in paths:
        name, number = f"{path.name}.png", 2
        while taken.get(name, path) != path:
            name, number = f"{path.name}-{number}.png", number + 1
        taken[name] = path
        yield path, folder / name


def write_heatmap(
    path: Path,
    parts: list[NDArray[np.uint8]],
    regions: Regions,
    heat: NDArray[np.float64],
    threshold: float,
) -> None:
    """Write the picture that was looked at, in red where it is unusual.

    Nothing is red up to half the threshold, and most of it is at one and a half.

    Args:
        path: The PNG to write.
        parts: The tiles of the picture, row by row, each uint8 `(H, W, 3)`.
        regions: Which gave the tiles.
        heat: How unusual each place is, `(h, w)`.
        threshold: The score above which a picture is unusual.

    Raises:
        S2bnnError: If the file cannot be written.
    """
    from PIL import Image  # which the rest of the command needs only to read pictures

    rows = [
        np.concatenate(parts[start : start + regions.tiles], axis=1)
        for start in range(0, len(parts), regions.tiles)
    ]
    picture = Image.fromarray(np.concatenate(rows))
    picture.thumbnail((_LARGEST, _LARGEST))
    share = np.clip(heat / max(threshold, 1e-12) - 0.5, 0, 1).astype(np.float32)
    mask = Image.fromarray(share).resize(picture.size, Image.Resampling.BILINEAR)
    weight = _STRONGEST * np.asarray(mask)[..., np.newaxis]
    mixed = (1 - weight) * np.asarray(picture, np.float32) + weight * _RED
    with replaced(path) as file:
        Image.fromarray(mixed.round().astype(np.uint8)).save(file, "PNG")
