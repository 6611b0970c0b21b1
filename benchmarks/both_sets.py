"""Time the two tested sets side by side: import, first step, steps, views, and a conversion.

    python benchmarks/both_sets.py --older .venv/bin/python --newer .venv-tf220/bin/python

A ReActNet-A is contrasted at 224 pixels in batches of 16 and then converted, with two threads. In
each round both sets begin a new process, and the two take turns at each stage, so that other work
on the machine affects both alike. Reports medians over the rounds of the wall-clock and the
processor time, and how many times as fast the newer set is in processor time, which a busy machine
distorts least.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sides import take_turns

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parents[1]
BATCH, SIZE = 16, 224
RECIPE = """
epochs: 1
data: {{source: "folder:{folder}", image_size: 224, batch_size: 16}}
student: {{backbone: reactnet, embedding_dim: 128}}
objective: {{contrastive_weight: 1.0, distillation_weight: 0.0, queue_size: 65536}}
"""
STAGES = {  # and how often each is done in a round
    "import": 1,
    "build the networks": 1,
    "first step": 1,
    "a later step": 5,
    "12 batches of two views": 1,
    "convert": 1,
}


def work(folder: Path) -> Iterator[str]:
    """Do one stage, or one repetition of it, before each yield."""
    from s2bnn_tf.config import load_config
    from s2bnn_tf.data import Augmentation, open_source, view_dataset
    from s2bnn_tf.export import convert_model, deployment_model
    from s2bnn_tf.training import build_pretrainer

    import tensorflow as tf  # isort: skip

    yield "import"
    tf.config.threading.set_intra_op_parallelism_threads(2)
    config = load_config(folder / "recipe.yaml")
    pretrainer = build_pretrainer(config, steps_per_epoch=4)
    yield "build the networks"
    views = tuple(tf.random.normal((BATCH, SIZE, SIZE, 3)) for _ in range(2))
    step = tf.function(lambda: pretrainer.train_step(views))
    for repetition in range(1 + STAGES["a later step"]):
        tf.nest.map_structure(float, step())
        yield "a later step" if repetition else "first step"
    batches = iter(
        view_dataset(
            open_source(config.data.source, "train"),
            Augmentation((0.2, 1.0), 0.8, 0.2, 0.5, 0.5),
            image_size=SIZE,
            batch_size=BATCH,
            views=2,
            seed=0,
        ).repeat()
    )
    for _ in range(12):
        next(batches)
    yield "12 batches of two views"
    model = convert_model(deployment_model(pretrainer.student, SIZE), output_name="features")
    assert len(model) > 1e6
    yield "convert"


def serve(folder: Path) -> None:
    """Go on for each line on standard input, and say what was done and how long it took."""
    stages = work(folder)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        stage = next(stages)
        told = {"stage": stage, "wall": time.perf_counter() - wall}
        print(json.dumps({**told, "processor": time.process_time() - processor}), flush=True)


def one_round(pythons: dict[str, str], folder: Path) -> dict[str, list[dict]]:
    """Begin a process on each set, and let them take turns."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    sides = {
        name: subprocess.Popen([python, __file__, "--serve", folder], env=environment, **pipes)
        for name, python in pythons.items()
    }
    return take_turns(sides, sum(STAGES.values()))


def summarize(rounds: list[dict[str, list[dict]]]) -> list[dict]:
    """The medians of each stage, and the ratio of those of the processor time."""
    rows = []
    for stage in STAGES:
        row: dict = {"stage": stage}
        for name in rounds[0]:
            found = [item for told in rounds for item in told[name] if item["stage"] == stage]
            for clock in ("wall", "processor"):
                seconds = statistics.median(item[clock] for item in found)
                row[f"{name}_{clock}_seconds"] = round(seconds, 2)
        older, newer = row["older_processor_seconds"], row["newer_processor_seconds"]
        row["newer_is_times_as_fast"] = round(older / newer, 2)
        rows.append(row)
    return rows


def main() -> None:
    """Measure both sets, print a table, and write JSON if requested."""
    from views import write_photographs  # beside this file

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--older", required=True, help="the Python of TensorFlow 2.15")
    parser.add_argument("--newer", required=True, help="the Python of TensorFlow 2.20")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    arguments = parser.parse_args()
    pythons = {"older": arguments.older, "newer": arguments.newer}
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photographs(folder, 64)
        (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder))
        for number in range(arguments.rounds):
            order = list(pythons) if number % 2 == 0 else list(pythons)[::-1]
            rounds.append(one_round({side: pythons[side] for side in order}, folder))
    rows = summarize(rounds)
    for row in rows:
        print("  ".join(f"{value!s:>20}" for value in row.values()))
    if arguments.output:
        report = {
            "command": f"python benchmarks/both_sets.py --rounds {arguments.rounds}",
            "date": time.strftime("%Y-%m-%d"),
            "machine": platform.platform(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "stages": rows,
        }
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        main()
