"""Fit an encoder to each class of Fashion-MNIST alone, as a production line has good parts alone.

    apt-get install dataset-fashion-mnist
    python benchmarks/one_class_encoders.py --minutes 4 --output-dir runs/one_class
    python benchmarks/one_class.py --output benchmarks/results/one_class_alone.json \\
        --encoder teacher=runs/one_class/{}/teacher --encoder student=runs/one_class/{}/student

The training images of each class become a folder of PNG files without labels, and `s2bnn fit` has
the same time for each. The same command resumes: a class whose report is there is left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from s2bnn_tf.data import open_source

SOURCE = "idx:/usr/share/datasets/fashion-mnist"


def main() -> None:
    """Fit the encoders that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True, help="Of `s2bnn fit`, per class.")
    parser.add_argument("--output-dir", type=Path, required=True)
    options = parser.parse_args()
    source = open_source(SOURCE)
    for label in np.unique(source.labels):
        output = options.output_dir / str(label)
        if (output / "report.html").is_file():
            continue
        folder = options.output_dir / f"pictures_{label}"
        folder.mkdir(parents=True, exist_ok=True)
        for row in np.flatnonzero(source.labels == label):
            Image.fromarray(source.read(row)[..., 0]).save(folder / f"{row:05}.png")
        command = [sys.executable, "-m", "s2bnn_tf", "fit", str(folder)]
        command += ["--minutes", f"{options.minutes:g}", "--output-dir", str(output)]
        command += ["--init", "random"]  # the starter has seen other pictures
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
