"""Features of pictures, for search or clustering: python embed.py photos/*.jpg --output out.npz"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from s2bnn_runtime import Interpreter

HERE = Path(__file__).resolve().parent


class Encoder:
    """A function from a picture file to its features (C,), configured by encoder.json."""

    def __init__(self, threads: int = 1):
        self.card = json.loads((HERE / "encoder.json").read_text())
        self.interpreter = Interpreter(HERE / "encoder.tflite", threads)

    def __call__(self, picture: Path) -> NDArray[np.float32]:
        """Compute the features of one picture."""
        size = self.card["input"]["shape"][1]
        with Image.open(picture) as image:
            rgb = image.convert("RGB")
        # The central square, with the fraction of the shorter side that evaluation keeps.
        side = self.card["center_crop"] * min(rgb.size)
        left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
        box = (left, top, left + side, top + side)
        square = rgb.resize((size, size), Image.Resampling.BILINEAR, box=box)  # RGB, 0 to 255
        features: NDArray[np.float32] = self.interpreter.predict(np.asarray(square, np.float32))[0]
        return features


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description="Compute the features of pictures.")
    parser.add_argument("pictures", nargs="+", type=Path, help="Picture files.")
    parser.add_argument(
        "--output", type=Path, default=Path("features.npz"), help="Default: features.npz."
    )
    parser.add_argument("--threads", type=int, default=1, help="Default: 1.")
    options = parser.parse_args()
    encoder = Encoder(options.threads)
    features = np.stack([encoder(picture) for picture in options.pictures])
    paths = np.array([str(picture) for picture in options.pictures])
    np.savez(options.output, paths=paths, features=features)
    print(f"{len(features)} pictures, {features.shape[1]} features each: {options.output}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"embed.py: {error}")
