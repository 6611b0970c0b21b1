"""Measure what is unusual on MVTec AD, or on other folders of its layout.

    python benchmarks/mvtec.py parts.tflite mvtec_anomaly_detection/

Each category is a folder with `train/good/`, `test/good/`, `test/DEFECT/` and, for every defect,
`ground_truth/DEFECT/NAME_mask.png`, which is white where the picture is unusual. As `s2bnn-run
normal` does, a detector of s2bnn_runtime learns from `train/good`, and the table shows two AUROCs
of each category: of pictures by their scores, and of pixels by the heat maps. The network sees each
picture whole, or `--tiles N` by N parts of it. Heat maps and masks are compared at 256 pixels a
side, of all test pictures together.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from one_class import auroc
from PIL import Image
from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.errors import S2bnnError
from s2bnn_runtime.images import picture_files, read_picture
from s2bnn_runtime.normal import METHODS, sample_of
from s2bnn_runtime.regions import Regions

SIDE = 256  # pixels of heat maps and masks when they are compared


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="an encoder's .tflite")
    parser.add_argument("folder", type=Path, help="a folder of categories, or one category")
    parser.add_argument("--method", choices=METHODS, help="default: patches if there is a map")
    parser.add_argument("--tiles", type=int, default=1, help="parts along a side (default 1)")
    parser.add_argument("--output", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    embedder = Embedder(options.model)
    method = options.method or ("patches" if embedder.has_map else "gaussian")
    found = {}
    for category in categories(options.folder):
        found[category.name] = measure(embedder, category, method, options.tiles)
        print(category.name, found[category.name], file=sys.stderr, flush=True)
    if options.output:
        about = {"date": time.strftime("%Y-%m-%d"), "method": method, "tiles": options.tiles}
        options.output.write_text(json.dumps({**about, "auroc": found}, indent=1) + "\n")
    print(make_table(found))


def categories(folder: Path) -> list[Path]:
    """The folders of categories in a folder, or the folder itself if it is one."""
    found = [
        path for path in [folder, *sorted(folder.glob("*/"))] if (path / "train/good").is_dir()
    ]
    if not found:
        raise S2bnnError(f"{folder} has no category, which is a folder with train/good/ and test/")
    return found


def test_pictures(category: Path) -> Iterator[tuple[Path, Path | None]]:
    """Each test picture and its mask, which is None for a good one."""
    for path in picture_files([category / "test"]):
        defect = path.parent.name
        mask = category / "ground_truth" / defect / f"{path.stem}_mask.png"
        if defect != "good" and not mask.is_file():
            raise S2bnnError(f"{mask} is missing, which shows where {path} is unusual")
        yield path, None if defect == "good" else mask


def measure(embedder: Embedder, category: Path, method: str, tiles: int) -> dict[str, float | None]:
    """Return the AUROCs "image" and "pixel" of a category; of one place a picture the first."""
    normal = picture_files([category / "train/good"])
    height, width = read_picture(normal[0]).shape[:2]
    regions = Regions((0, 0, width, height), tiles)

    def sample(path: Path) -> np.ndarray:
        return sample_of(method, embedder.see(path, regions))

    detector = METHODS[method].fit([sample(path) for path in normal])
    scores, heats, masks = [], [], []
    for path, mask in test_pictures(category):
        heat = regions.grid(detector.heat(sample(path)))
        scores.append(float(heat.max()))
        heats.append(resized(Image.fromarray(heat.astype(np.float32))))
        masks.append(mask_of(mask))
    unusual = np.array([mask.any() for mask in masks])
    if unusual.all() or not unusual.any():
        raise S2bnnError(f"{category}/test needs good pictures and others")
    pixel = auroc(np.concatenate(heats), np.concatenate(masks)) if heat.size > 1 else None
    return {"image": auroc(np.array(scores), unusual), "pixel": pixel}


def mask_of(path: Path | None) -> np.ndarray:
    if path is None:
        return np.zeros(SIDE * SIDE, bool)
    pixels = Image.fromarray(read_picture(path)[..., 0])
    return resized(pixels, Image.Resampling.NEAREST) > 127


def resized(picture: Image.Image, how: Image.Resampling = Image.Resampling.BILINEAR) -> np.ndarray:
    return np.asarray(picture.resize((SIDE, SIDE), how)).reshape(-1)


def make_table(found: dict[str, dict[str, float | None]]) -> str:
    """One row a category, and the means."""
    lines = ["| category | image AUROC | pixel AUROC |", "|---|---|---|"]
    columns = {key: [row[key] for row in found.values()] for key in ("image", "pixel")}
    means = {key: None if None in column else np.mean(column) for key, column in columns.items()}
    for name, row in {**found, "mean": means}.items():
        cells = ["" if row[key] is None else f"{100 * row[key]:.1f} %" for key in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except S2bnnError as error:
        sys.exit(str(error))
