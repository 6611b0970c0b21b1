"""Show where the time goes from `s2bnn train` to the first step, ReActNet-A at 224 pixels.

    python benchmarks/start_up.py [--output FILE.json]

Measures the seconds per stage in a new process that contrasts two views of 500x375 JPEGs in batches
of 16.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RECIPE = """
epochs: 1
data: {{source: "folder:{folder}", image_size: 224, batch_size: 16}}
student: {{backbone: reactnet, embedding_dim: 128}}
objective: {{contrastive_weight: 1.0, distillation_weight: 0.0, queue_size: 65536}}
"""


class Stages:
    """The seconds between one mark and the next, by name."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def mark(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 2)
        self.last = now
        print(f"{name:24} {self.seconds[name]:6.2f} s", flush=True)


def start(folder: Path) -> dict[str, float]:
    """Do everything that `s2bnn train` does until the end of its second step."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(folder=folder))
    stages = Stages()
    import tensorflow as tf

    stages.mark("import TensorFlow")
    from s2bnn_tf.config import load_config
    from s2bnn_tf.data import open_source
    from s2bnn_tf.evaluation import knn_monitor
    from s2bnn_tf.training import build_pretrainer
    from s2bnn_tf.training.binary_health import SignFlips
    from s2bnn_tf.training.fitting import distributed_views

    stages.mark("import s2bnn_tf")
    config = load_config(recipe)
    source = open_source(config.data.source, "train")
    knn_monitor(config)
    stages.mark("open the images")
    pretrainer = build_pretrainer(config, steps_per_epoch=len(source) // 16)
    SignFlips(pretrainer.student)
    stages.mark("build the networks")
    strategy = tf.distribute.get_strategy()
    batches = iter(distributed_views(strategy, source, config, views=2, first_step=0))
    next(batches)
    stages.mark("first batch")
    train = pretrainer.make_train_function()
    tf.nest.map_structure(float, train(batches))
    stages.mark("trace and first step")
    told = sum(stages.seconds.values())
    tf.nest.map_structure(float, train(batches))
    stages.mark("second step")
    return {**stages.seconds, "to the end of the first step": round(told, 2)}


def main() -> None:
    """Measure, print the stages, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(start(arguments.here)))
        return
    from views import write_photographs  # beside this file; imports TensorFlow

    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), 64)
        command = [sys.executable, __file__, "--here", folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, end="")
    seconds = json.loads(done.stdout.splitlines()[-1])
    if arguments.output:
        report = {
            "command": "python benchmarks/start_up.py",
            "date": time.strftime("%Y-%m-%d"),
            "machine": platform.platform(),
            "seconds": seconds,
        }
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
