"""Show where the time goes from `s2bnn train` to the first step, ReActNet-A at 224 pixels.

    python benchmarks/start_up.py [--output FILE.json]

Measures the seconds per stage in a new process that contrasts two views of 500x375 JPEGs in batches
of 16: everything that the command does, with its checks. A busy machine distorts the clock more
than the processor's own seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from s2bnn_tf.collecting import few_collections

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RECIPE = """
epochs: 1
data: {{source: "folder:{folder}", image_size: 224, batch_size: 16}}
student: {{backbone: reactnet, embedding_dim: 128}}
objective: {{contrastive_weight: 1.0, distillation_weight: 0.0, queue_size: 65536}}
"""


class Stages:
    """The seconds between one mark and the next, by name: on the clock, and of the processor."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self.last, self.last_used = time.perf_counter(), time.process_time()

    def mark(self, name: str) -> None:
        now, used = time.perf_counter(), time.process_time()
        self.seconds[name] = round(now - self.last, 2)
        self.processor[name] = round(used - self.last_used, 2)
        self.last, self.last_used = now, used
        print(
            f"{name:24} {self.seconds[name]:6.2f} s {self.processor[name]:6.2f} s processor",
            flush=True,
        )


def start(folder: Path) -> dict[str, float]:
    """Do everything that `s2bnn train` does until the end of its second step, and end there."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(folder=folder))
    stages = Stages()
    with few_collections():  # as the command does
        import tensorflow as tf

        stages.mark("import TensorFlow")
        from s2bnn_tf.pipeline import train_recipe

        stages.mark("import s2bnn_tf")

    class Enough(Exception):
        """The second step is done."""

    class Watch(tf.keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            stages.mark("images, networks, checks")

        def on_train_batch_end(self, batch, logs=None):
            stages.mark("second step" if batch else "trace and first step")
            if batch:
                raise Enough

    with contextlib.suppress(Enough), tempfile.TemporaryDirectory() as run:
        train_recipe(recipe, run, callbacks=[Watch()])
    first = sum(stages.seconds.values()) - stages.seconds["second step"]
    used = sum(stages.processor.values()) - stages.processor["second step"]
    return {
        **stages.seconds,
        "to the end of the first step": round(first, 2),
        "to the end of the first step, processor": round(used, 2),
    }


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
