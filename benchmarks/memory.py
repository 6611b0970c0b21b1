"""Show that memory grows neither over a long run nor with the size of a packed data set.

    python benchmarks/memory.py [--epochs 300] [--images 3000] [--output FILE.json]

Trains a small network on the digits for hundreds of epochs in one process, with the checkpoints,
scores and metrics of any run, and reads the resident memory after each epoch. Then streams packed
JPEGs for several epochs and reads the resident memory after each batch.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

RECIPE = """
seed: 1
epochs: {epochs}
data: {{source: digits, image_size: 8, batch_size: 256}}
student: {{backbone: resnet18, width: 0.0625, embedding_dim: 8}}
objective: {{contrastive_weight: 1, distillation_weight: 0, queue_size: 1000, momentum: 0.9}}
monitor: {{knn_every: 1, checkpoint_every: 10}}
"""


def resident_mb() -> float:
    """Return the anonymous resident memory of this process in MB, without mapped files."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1024


def train(epochs: int) -> list[float]:
    """Train, and return the resident memory in MB after each epoch."""
    from s2bnn_tf.config import load_config
    from s2bnn_tf.training import pretrain

    found = []

    def score(student) -> float:
        found.append(resident_mb())
        return found[-1]

    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder, "recipe.yaml")
        recipe.write_text(RECIPE.format(epochs=epochs))
        pretrain(load_config(recipe), Path(folder, "run"), monitors={"resident_mb": score})
    return found


def stream(images: int, epochs: int) -> dict:
    """Stream packed images; return the resident memory and the size of their files, in MB."""
    from views import write_photographs  # beside this file; imports TensorFlow

    from s2bnn_tf.data import Augmentation, open_source, pack, view_dataset

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "images").mkdir()
        write_photographs(Path(folder, "images"), images, height=300, width=400)
        packed = Path(folder, "packed")
        pack(open_source(f"folder:{folder}/images"), packed)
        size = sum(file.stat().st_size for file in packed.glob("*.tfrecord"))
        dataset = view_dataset(
            open_source(f"tfrecord:{packed}"),
            Augmentation((0.2, 1.0), 0.6, 0.2, 0.2, 0.5),
            image_size=96,
            batch_size=100,
            views=2,
            seed=0,
        )
        found = []
        for _ in dataset.take(epochs * images // 100):
            found.append(resident_mb())
    return {"files_mb": round(size / 2**20), "epochs": epochs, **summary(found)}


def summary(resident: list[float]) -> dict:
    """Return ten points of the curve and its rise over the second half."""
    half = np.array(resident[len(resident) // 2 :])
    slope = np.polyfit(np.arange(len(half)), half, 1)[0]
    points = np.linspace(0, len(resident) - 1, 10).astype(int)
    return {
        "resident_mb": {int(i) + 1: round(resident[i], 1) for i in points},
        "rise_over_the_second_half_mb": round(float(slope * len(half)), 2),
    }


def main() -> None:
    """Measure both, print the report, and write it as JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # a network this small has dead channels
    report = {
        "command": f"python benchmarks/memory.py --epochs {arguments.epochs}",
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.platform(),
        "streaming_packed_images_by_batch": stream(arguments.images, epochs=4),
        "training_by_epoch": summary(train(arguments.epochs)),
    }
    print(json.dumps(report, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
