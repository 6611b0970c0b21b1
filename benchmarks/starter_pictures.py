"""The free pictures that the starter learns from, out of packages, in one folder.

See starter.py. Nothing of them is committed.

| package | pictures | license |
|---|---|---|
| openclipart-png (Debian) | clip art | public domain |
| emoji-datasource-google (npm) | emoji, Noto | Apache-2.0; the package MIT |
| mate-backgrounds (Debian) | photographs and patterns | GPL-2+, four of them CC-BY-SA-4.0 |
| gnome-backgrounds (Debian) | renderings and patterns | CC-BY-SA-3.0 |
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from s2bnn_tf.data import load_image
from s2bnn_tf.errors import DataError

SIDE = 160  # pixels of the shorter side, enough for crops that are seen with 96
_SKIN = re.compile(r"-1f3f[b-f]")  # five variants of one emoji are four copies
_COPIES = re.compile(r"_\d{4}x\d{4}$")  # of a wallpaper in larger sizes
_CROPS = 80  # of each wallpaper
_CROP_SIDES = 0.15, 0.6  # of its shorter side
_LARGE = 1000  # pixels of the shorter side of a wallpaper that is cut
_TINY = 1000  # bytes; such a wallpaper has one color


@dataclass(frozen=True)
class Places:
    """Where the packages lie.

    Attributes:
        clipart: The folder `png` of openclipart-png.
        backgrounds: Folders of wallpapers.
        emoji: The folder of emoji-datasource-google with pictures of 64 pixels.
    """

    clipart: Path
    backgrounds: tuple[Path, ...]
    emoji: Path


def gather(places: Places, output: Path) -> dict[str, int]:
    """Write all pictures into a folder, unless it is there, and return their numbers by kind.

    Args:
        places: Where they are.
        output: The folder, which appears when it is complete. It is flat, so that its pictures
            have no classes, and none is held out.
    """
    if not output.is_dir():
        part = output.with_name(output.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        _copy(_clipart(places.clipart), part, "clipart")
        _copy(_emoji(places.emoji), part, "emoji")
        _cut(places.backgrounds, part)
        part.rename(output)
    return dict(Counter(path.name.split("-")[0] for path in sorted(output.glob("*.png"))))


def _clipart(folder: Path) -> list[Path]:
    """Every file once, although links show it in several categories."""
    return sorted({path.resolve() for path in folder.rglob("*.png")})


def _emoji(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.png") if not _SKIN.search(path.stem))


def _copy(paths: list[Path], output: Path, kind: str) -> None:
    for number, path in enumerate(paths):
        try:
            pixels = load_image(path)
        except DataError:  # a few of the clip art are larger than is decoded
            continue
        small = _shrink(Image.fromarray(pixels), SIDE)
        small.save(output / f"{kind}-{number:05}.png", compress_level=1)


def _cut(folders: tuple[Path, ...], output: Path) -> None:
    """Cut each wallpaper into crops, since it is many times as large as other pictures."""
    rng = np.random.default_rng(0)
    found = sorted(path for folder in folders for path in folder.rglob("*") if _is_wallpaper(path))
    for number, path in enumerate(found):
        wallpaper = _shrink(Image.fromarray(load_image(path)), _LARGE)
        for crop in range(_CROPS):
            side = round(float(rng.uniform(*_CROP_SIDES)) * min(wallpaper.size))
            left = int(rng.integers(0, wallpaper.width - side + 1))
            top = int(rng.integers(0, wallpaper.height - side + 1))
            image = _shrink(wallpaper.crop((left, top, left + side, top + side)), SIDE)
            image.save(output / f"backgrounds-{number:02}-{crop:02}.png", compress_level=1)


def _is_wallpaper(path: Path) -> bool:
    whole = path.suffix in {".jpg", ".png", ".webp"} and not _COPIES.search(path.stem)
    return whole and path.is_file() and path.stat().st_size > _TINY


def _shrink(image: Image.Image, side: int) -> Image.Image:
    """Scale an image so that its shorter side has no more than some pixels."""
    scale = min(1.0, side / min(image.size))
    return image.resize([max(1, round(scale * length)) for length in image.size])
