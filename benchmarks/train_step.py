"""Time one training step at 224 pixels against the same step in eager PyTorch.

    python benchmarks/train_step.py --torch-python VENV/bin/python [--output FILE.json]

ReActNet-A student, ResNet-50 teacher, batch 16, distillation only and both losses, two threads
each; VENV has torch and numpy. The two take turns in one run, each in a process of its own; the
median step of all turns and the largest resident memory count. Then our step in its parts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
REFERENCE = Path(__file__).parent / "reference" / "train_step_torch.py"
SIZE = 224


def build(objective: str):
    """The networks, with random weights, and a batch."""
    import tensorflow as tf

    from s2bnn_tf.backbones import Encoder, build_backbone, projection_head
    from s2bnn_tf.objectives import KeyQueue
    from s2bnn_tf.training import Adam, Pretrainer

    def encoder(name: str) -> Encoder:
        backbone = build_backbone(name, (SIZE, SIZE, 3))
        made = Encoder(backbone, projection_head(int(backbone.output_shape[-1]), 128))
        made.build((None, SIZE, SIZE, 3))
        return made

    tf.keras.utils.set_random_seed(0)
    both = objective == "both"
    pretrainer = Pretrainer(
        student=encoder("reactnet"),
        teacher=encoder("resnet50"),
        momentum_encoder=encoder("reactnet") if both else None,
        queue=KeyQueue(65536, 128) if both else None,
        contrastive_weight=1.0 if both else 0.0,
    )
    optimizer = Adam(3e-4)
    optimizer.build(pretrainer.student.trainable_variables)
    pretrainer.compile(optimizer=optimizer)
    return pretrainer


def timed(function, repeats: int) -> list[float]:
    """Seconds of each call after the first, which traces."""
    import tensorflow as tf

    seconds = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        tf.nest.map_structure(lambda x: x.numpy(), function())
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]


def run_ours(objective: str, steps: int, batch_size: int, parts: bool) -> dict:
    """Steps, and if asked their parts, in this process."""
    started = time.perf_counter()
    import tensorflow as tf

    from s2bnn_tf.training import update_momentum

    tf.config.threading.set_intra_op_parallelism_threads(2)
    pretrainer = build(objective)
    views = tuple(tf.random.normal((batch_size, SIZE, SIZE, 3)) for _ in range(2))
    step = tf.function(lambda: pretrainer.train_step(views))
    tf.nest.map_structure(lambda x: x.numpy(), step())
    first = time.perf_counter() - started
    result = {"seconds": timed(step, steps), "first_step_after_seconds": round(first, 1)}
    result["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if parts:
        key = tf.math.l2_normalize(tf.random.normal((batch_size, 128)), axis=-1)
        student, teacher = pretrainer.student, pretrainer.teacher
        gradients = [tf.zeros_like(v) for v in student.trainable_variables]
        pieces = {
            "teacher": lambda: teacher(views[0], training=False),
            "student_forward": lambda: student(views[0], training=True),
            "student_forward_and_backward": lambda: pretrainer.differentiate(views[0], key),
            "optimizer": lambda: pretrainer.apply(gradients),
        }
        if objective == "both":
            other = pretrainer.momentum_encoder
            pieces["momentum_encoder_forward"] = lambda: other(views[1], training=True)
            pieces["momentum_update"] = lambda: update_momentum(student, other, 0.999)
            pieces["queue"] = lambda: pretrainer.queue.enqueue(key)
        times = {name: timed(tf.function(piece), 3) for name, piece in pieces.items()}
        result["parts"] = {n: round(statistics.median(t), 3) for n, t in times.items()}
        result["parts"]["student_forward_and_backward"] -= result["parts"]["teacher"]
    return result


def call(command: list[str]) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(objective: str, arguments) -> dict:
    """Both sides, in turns."""
    common = ["--objective", objective, "--steps", str(arguments.steps)]
    common += ["--batch-size", str(arguments.batch_size)]
    sides = {
        "s2bnn_tf": [sys.executable, __file__, "--ours", *common],
        "pytorch": [arguments.torch_python, str(REFERENCE), *common],
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    peak: dict[str, int] = dict.fromkeys(sides, 0)
    for _ in range(arguments.turns):
        for name, command in sides.items():
            found = call(command)
            seconds[name] += found["seconds"]
            peak[name] = max(peak[name], found["peak_mb"])
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "objective": objective,
        "seconds_a_step": {name: round(value, 2) for name, value in median.items()},
        "images_per_second": {n: round(arguments.batch_size / v, 2) for n, v in median.items()},
        "peak_mb": peak,
        "times_as_fast": round(median["pytorch"] / median["s2bnn_tf"], 2),
    }


def main() -> None:
    """Compare, print, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", help="the Python of an environment with torch")
    parser.add_argument("--objective", choices=["distillation", "both"])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--parts", action="store_true", help="the parts of our step, alone")
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    arguments = parser.parse_args()
    if arguments.ours or not arguments.torch_python:
        objective = arguments.objective or "both"
        size, parts = arguments.batch_size, not arguments.ours
        results = [run_ours(objective, arguments.steps, size, parts=parts)]
        print(json.dumps(results[0]))
    else:
        chosen = [arguments.objective] if arguments.objective else ["distillation", "both"]
        results = []
        for objective in chosen:
            results.append(compare(objective, arguments))
            print(json.dumps(results[-1]), flush=True)
    if arguments.output:
        report = {
            "command": "python benchmarks/train_step.py " + " ".join(sys.argv[1:]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": platform.platform(),
            "cores": os.cpu_count(),
            "results": results,
        }
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
