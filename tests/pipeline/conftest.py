"""Folders of real photographs, cut into crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photographs() -> dict[str, Image.Image]:
    """Six regions of two photographs that scikit-learn ships, 200 pixels each."""
    from sklearn.datasets import load_sample_images

    images = load_sample_images().images
    return {
        f"{name}{index}": Image.fromarray(image[80:280, 210 * index : 210 * index + 200])
        for name, image in zip(("temple", "dahlia"), images)
        for index in range(3)
    }


@pytest.fixture(scope="session")
def crops(photographs, tmp_path_factory) -> Path:
    """Twelve crops of each region, one folder each: 72 pictures in 6 classes."""
    rng = np.random.default_rng(3)
    root = tmp_path_factory.mktemp("photos") / "crops"
    for name, image in photographs.items():
        (root / name).mkdir(parents=True)
        for number in range(12):
            side = int(rng.integers(60, 110))
            left, top = rng.integers(0, 200 - side, 2).tolist()
            crop = image.crop((left, top, left + side, top + side))
            crop.save(root / name / f"{number:02}.png")
    return root


@pytest.fixture(scope="session")
def film(photographs) -> Callable[[Path, str, int], Path]:
    """Write a video that looks at another part of a photograph every second."""

    def write(path: Path, name: str, seconds: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(name) + seconds)
        code = cv2.VideoWriter_fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 2, (96, 96))
        for _ in range(seconds):
            side = int(rng.integers(50, 120))
            left, top = rng.integers(0, 200 - side, 2).tolist()
            crop = photographs[name].crop((left, top, left + side, top + side)).resize((96, 96))
            for _ in range(2):
                writer.write(np.asarray(crop)[..., ::-1])
        writer.release()
        return path

    return write
