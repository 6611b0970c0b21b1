"""Measure how many augmented views per second the input pipeline makes.

    python benchmarks/views.py [--torch-python VENV/bin/python] [--output FILE.json]

There are three sources: the digits and (where it is installed) Fashion-MNIST in memory at 32x32,
and a folder of 500x375 JPEGs at 224x224, cut from scikit-learn's two photographs. Views per second
refer to wall time; views per CPU second show what training loses to the pipeline on the same cores.

With --torch-python only the JPEGs are measured, with two views each, in turn with torchvision
(Pillow, the reference's pipeline) and albumentations, both installed in VENV, with two workers
each. Reports the images per second of the best turn and the median processor time per image.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sides import write_results

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from s2bnn_tf.data import ArraySource, Augmentation, ImageSource, open_source, view_dataset

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
PRESETS = {
    "light": Augmentation((0.2, 1.0), 0.6, 0.2, 0.2, 0.5),
    "moco_v2": Augmentation((0.2, 1.0), 0.8, 0.2, 0.5, 0.5),
}


def write_photographs(
    folder: Path, count: int, *, seed: int = 0, height: int = 375, width: int = 500
) -> None:
    """Write random cuts of scikit-learn's photographs (640x427) as JPEG."""
    rng = np.random.default_rng(seed)
    photographs = load_sample_images().images
    for number in range(count):
        top, left = rng.integers(0, 427 - height), rng.integers(0, 640 - width)
        cut = photographs[number % 2][top : top + height, left : left + width]
        Image.fromarray(cut).save(folder / f"{number:04d}.jpg", quality=90)


def measure(
    source: ImageSource, preset: str, image_size: int, batch_size: int, views: int, batches: int
) -> dict:
    """Time a number of batches, after two that fill the buffers."""
    dataset = view_dataset(
        source, PRESETS[preset], image_size=image_size, batch_size=batch_size, views=views, seed=0
    )
    iterator = iter(dataset)
    for _ in range(2):
        next(iterator)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    made = batches * batch_size * views
    return {
        "source": source.name if isinstance(source, ArraySource) else f"{len(source)} JPEGs",
        "augmentation": preset,
        "image_size": image_size,
        "batch_size": batch_size,
        "views": views,
        "views_per_second": round(made / wall, 1),
        "views_per_cpu_second": round(made / cpu, 1),
    }


def measure_here(folder: str, batches: int) -> dict:
    """Return our two-view images per second and the processor time per image."""
    dataset = view_dataset(
        open_source(f"folder:{folder}"),
        PRESETS["light"],
        image_size=224,
        batch_size=64,
        views=2,
        seed=0,
    )
    iterator = iter(dataset)
    for _ in range(4):
        next(iterator)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    images = 64 * batches
    return {"images_per_second": images / wall, "cpu_ms_an_image": 1000 * cpu / images}


def compare(folder: str, torch_python: str, turns: int, batches: int) -> dict:
    """Return the two-view images per second of three pipelines, measured in turn."""
    script = str(Path(__file__).parent / "reference" / "views_torch.py")
    ours = [sys.executable, __file__, "--here", folder]
    theirs = [torch_python, script]
    commands = {
        "s2bnn_tf": ours,
        "torchvision": [*theirs, "torchvision", folder],
        "albumentations": [*theirs, "albumentations", folder],
    }
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    turns_of: dict[str, list[dict]] = {name: [] for name in commands}
    for _ in range(turns):
        for name, command in commands.items():
            done = subprocess.run(
                [*command, "--batches", str(batches)],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            )
            turns_of[name].append(json.loads(done.stdout.splitlines()[-1]))

    return summary(turns_of)


def summary(turns_of: dict[str, list[dict]]) -> dict:
    """Return the best rate, since other work can only slow it, and the median CPU time."""
    rate = {n: max(t["images_per_second"] for t in turns) for n, turns in turns_of.items()}
    cpu = {
        n: statistics.median(t["cpu_ms_an_image"] for t in turns) for n, turns in turns_of.items()
    }
    others = ("torchvision", "albumentations")
    return {
        "two_view_images_per_second": {n: round(value, 1) for n, value in rate.items()},
        "cpu_ms_an_image": {n: round(value, 2) for n, value in cpu.items()},
        "times_as_fast": {name: round(rate["s2bnn_tf"] / rate[name], 2) for name in others},
        "times_less_cpu": {name: round(cpu[name] / cpu["s2bnn_tf"], 2) for name in others},
        "turns": turns_of,
    }


def main() -> None:
    """Measure every source, print a table, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    parser.add_argument("--photographs", type=int, default=512, help="JPEGs in the folder")
    parser.add_argument("--torch-python", help="the Python of an environment to compare with")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--here", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure_here(arguments.here, arguments.batches)))
        return
    if arguments.torch_python:
        with tempfile.TemporaryDirectory() as folder:
            write_photographs(Path(folder), arguments.photographs)
            found = compare(folder, arguments.torch_python, arguments.turns, arguments.batches)
        print(json.dumps(found, indent=2))
        if arguments.output:
            write_results(arguments.output, found)
        return

    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), arguments.photographs)
        cases = [(open_source("digits"), 32, 256, 40)]
        if FASHION_MNIST.is_dir():
            cases.append((open_source(f"idx:{FASHION_MNIST}"), 32, 256, 40))
        cases.append((open_source(f"folder:{folder}"), 224, 64, 8))
        results = []
        print(
            f"{'source':36} {'views':>5} {'preset':8} {'size':>4} {'views/s':>9} {'per CPU s':>9}"
        )
        for source, image_size, batch_size, batches in cases:
            for preset in PRESETS:
                for views in (1, 2):
                    row = measure(source, preset, image_size, batch_size, views, batches)
                    results.append(row)
                    print(
                        f"{row['source']:36} {views:5} {preset:8} {image_size:4} "
                        f"{row['views_per_second']:9,.0f} {row['views_per_cpu_second']:9,.0f}"
                    )
    if arguments.output:
        write_results(arguments.output, results)


if __name__ == "__main__":
    main()
