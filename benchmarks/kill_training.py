"""Kill a real training process repeatedly and compare its results bit for bit.

    python benchmarks/kill_training.py [--kills 36] [--seed 0] [--output FILE.json]

One run is not interrupted. Other runs of the same recipe are killed at random moments by SIGKILL,
SIGTERM or SIGINT, and by SIGKILL as soon as an unfinished checkpoint appears on disk, and are
restarted until they finish. Every variable in the last checkpoint, the encoder's weights and the
losses of every epoch must equal those of the uninterrupted run. Only a kNN score may be missing, if
a signal arrived while it was being computed: a signal ends that computation immediately.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RECIPE = """
seed: 1
epochs: {epochs}
deterministic: true
data: {{source: digits, image_size: 16, batch_size: 256}}
student: {{backbone: resnet18, width: 0.0625, embedding_dim: 16}}
objective: {{contrastive_weight: 1, distillation_weight: 0, queue_size: 1000, momentum: 0.9}}
optimizer: {{learning_rate: 1e-3, weight_decay: 1e-4}}
monitor: {{knn_every: 7, checkpoint_minutes: 0.005}}
"""
WAYS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGKILL while a checkpoint is written")
ONLY_TIMED = ("seconds", "images_per_second")


def start(recipe: Path, directory: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "s2bnn_tf", "train", str(recipe)]
    return subprocess.Popen(
        [*command, "--output-dir", str(directory)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_step_seen(process: subprocess.Popen) -> None:
    """Return when the process reports the end of an epoch, or has ended itself."""
    while (line := process.stderr.readline()) and not line.startswith("epoch "):
        pass


def unfinished_checkpoint(directory: Path) -> bool:
    """Whether a checkpoint has some of its files but not the one that is written last."""
    try:
        names = os.listdir(directory / "checkpoints")
    except OSError:
        return False
    finished = {name.split(".")[0] for name in names if name.endswith(".json")}
    return any(name.startswith("step-") and name.split(".")[0] not in finished for name in names)


def kill(process: subprocess.Popen, directory: Path, way: str, rng: random.Random) -> dict | None:
    """Kill the process in the given way; return None if it ended before."""
    if rng.random() < 0.8:
        first_step_seen(process)
        time.sleep(rng.uniform(0, 4))
    else:  # at any moment, including before the first step
        time.sleep(rng.uniform(0, 15))
    if way == WAYS[3]:
        while process.poll() is None and not unfinished_checkpoint(directory):
            pass
    if process.poll() is not None:
        return None
    sent = time.monotonic()
    process.send_signal(getattr(signal, way.split()[0]))
    errors = process.communicate()[1]
    seconds = round(time.monotonic() - sent, 2)
    expected = (-signal.SIGKILL,) if "KILL" in way else (130, -getattr(signal, way), 0, 1)
    assert process.returncode in expected, (process.returncode, errors)
    return {
        "way": way,
        "ended_after_seconds": seconds,
        "exit": process.returncode,
        "unfinished_checkpoint_left": unfinished_checkpoint(directory),
    }


def result(directory: Path) -> dict:
    """Return everything in a finished run that must be reproduced exactly."""
    import tensorflow as tf

    from s2bnn_tf.runs import CheckpointStore, load_encoder

    reader = tf.train.load_checkpoint(CheckpointStore(directory / "checkpoints").newest().prefix)
    names = [name for name in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in name]
    held = {name: reader.get_tensor(name).tobytes() for name in names}
    weights = load_encoder(directory).get_weights()
    held.update({f"encoder {i}": weight.tobytes() for i, weight in enumerate(weights)})
    for line in (directory / "metrics.jsonl").read_text().splitlines():
        row = {k: v for k, v in json.loads(line).items() if k not in ONLY_TIMED}
        if "knn" in row:
            held[f"score {row['epoch']}"] = str(row.pop("knn")).encode()
        held[f"epoch {row['epoch']}"] = json.dumps(row, sort_keys=True).encode()
    return held


def main() -> None:
    """Kill the runs, compare them, and report the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=36)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    arguments = parser.parse_args()
    rng, kills, runs, lost = random.Random(arguments.seed), [], 0, []

    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder, "recipe.yaml")
        recipe.write_text(RECIPE.format(epochs=arguments.epochs))
        alone = start(recipe, Path(folder, "alone"))
        errors = alone.communicate()[1]
        assert alone.returncode == 0, errors
        expected = result(Path(folder, "alone"))
        while len(kills) < arguments.kills:
            runs += 1
            directory = Path(folder, f"killed{runs}")
            ended = False
            while not ended:
                process = start(recipe, directory)
                if len(kills) < arguments.kills:
                    done = kill(process, directory, WAYS[len(kills) % len(WAYS)], rng)
                    if done is not None:
                        kills.append({"run": runs, **done})
                        print(f"{len(kills):3} {done}", flush=True)
                        continue
                errors = process.communicate()[1]
                assert process.returncode == 0, errors
                ended = True
            found = result(directory)
            different = sorted(n for n in expected | found if expected.get(n) != found.get(n))
            lost += [n for n in different if n.startswith("score ") and n not in found]
            different = [n for n in different if n not in lost]
            assert not different, different
            print(f"run {runs}: {len(expected)} values, all equal", flush=True)

    polite = [k["ended_after_seconds"] for k in kills if "KILL" not in k["way"]]
    report = {
        "command": "python benchmarks/kill_training.py " + " ".join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "kills": len(kills),
        "runs_compared": runs,
        "different_values": 0,
        "scores_that_a_signal_interrupted": len(lost),
        "slowest_answer_to_a_signal_seconds": max(polite, default=None),
        "each": kills,
    }
    summary = {key: value for key, value in report.items() if key != "each"}
    print(json.dumps(summary, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
