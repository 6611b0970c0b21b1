"""Photographs that installed packages ship, cut into crops: a folder to try things with."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

from s2bnn_tf.errors import DataError

CROPS = 24  # of each photograph
_SMALLEST, _LARGEST = 0.25, 0.6  # side of a crop, of the shorter side of the photograph
_SEED = 0
# The package, the folder in it, and its photographs. Drawings, text, and the second of two
# pictures of one scene are left out.
_PHOTOGRAPHS = (
    (
        "skimage",
        "data",
        (
            *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png"),
            *("clock_motion.png", "coffee.png", "coins.png", "grass.png", "gravel.png"),
            *("hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png"),
            *("microaneurysms.png", "retina.jpg", "rocket.jpg", "text.png"),
        ),
    ),
    ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
    ("matplotlib", "mpl-data/sample_data", ("grace_hopper.jpg",)),
    ("mahotas", "demos/data", ("DepartmentStore.jpg", "luispedro.jpg", "nuclear.png")),
)


def cut_photographs(output: Path, *, crops: int = CROPS) -> int:
    """Write square crops of every photograph, one folder each. The same crops are written always.

    Args:
        output: The folder, which is made if it is missing.
        crops: The number of crops of each photograph; they may overlap.

    Returns:
        The number of crops.

    Raises:
        DataError: If a package that ships photographs is not installed.
        OSError: If the crops cannot be written.
    """
    rng = np.random.default_rng(_SEED)
    paths = [
        _locate(package, folder, name) for package, folder, names in _PHOTOGRAPHS for name in names
    ]
    for path in paths:
        cut_photograph(path, output / path.stem.lower(), rng, crops=crops)
    return crops * len(paths)


def cut_photograph(
    path: Path, folder: Path, rng: np.random.Generator, *, crops: int = CROPS
) -> None:
    """Write square crops of one photograph.

    Args:
        path: The photograph.
        folder: Where to write them, which is made if it is missing.
        rng: Draws them.
        crops: Their number; they may overlap.

    Raises:
        OSError: If the photograph cannot be read, or the crops cannot be written.
    """
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(crops):
        side = round(float(rng.uniform(_SMALLEST, _LARGEST)) * min(image.size))
        left = int(rng.integers(0, image.width - side + 1))
        top = int(rng.integers(0, image.height - side + 1))
        crop = image.crop((left, top, left + side, top + side))
        crop.save(folder / f"{number:02}.png", compress_level=1)


def _locate(package: str, folder: str, name: str) -> Path:
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec else []
    path = Path(places[0], folder, name) if places else Path(name)
    if not path.is_file():
        raise DataError(
            f"The photograph {name} of {package} is not there; install what the demo shows with "
            "`pip install s2bnn_tf[demo]`."
        )
    return path
