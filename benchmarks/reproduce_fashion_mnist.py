"""Reproduce the paper's table on Fashion-MNIST: does a teacher's guidance beat contrast alone?

    python benchmarks/reproduce_fashion_mnist.py --budget small
    python benchmarks/reproduce_fashion_mnist.py --budget full --minutes 150    # and again

Trains the rows of the paper one after the other with the recipes in configs/fashion_mnist, each run
in a separate process, and measures them. If it is stopped, by hand or by --minutes, the same
command resumes: finished rows are read from the JSON file, an unfinished run from its checkpoint.

Several processes may work on one table if their rows or seeds differ. Small networks use one core
more efficiently than two, so one process per core is faster than one process on all cores:

    taskset -c 0 python benchmarks/reproduce_fashion_mnist.py --budget full --seeds 0 1
    taskset -c 1 python benchmarks/reproduce_fashion_mnist.py --budget full --seeds 2

To choose settings, use --choices, which tests on training images that no row trains on. Without it,
the test split is used, once per row.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import gzip
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from fashion_mnist_table import ROWS, as_text, publish

from s2bnn_tf.files import write_json

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path("/usr/share/datasets/fashion-mnist")
HELD_OUT = 5000  # training images that settings are chosen on


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much is trained, and with which settings."""

    images: int
    teacher_epochs: int
    epochs: int  # per row; with two steps, half of them each
    seeds: int  # for the paper's rows and the teacher; other rows have one
    settings: tuple[str, ...] = ()  # applied to every run
    teacher_settings: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()  # all if empty
    choices: bool = False  # always tested on held-out training images


# What might improve on regression, one change a row.
IDEAS = (
    "regression_mixup",
    "regression_weak",
    "regression_mixup_weak",
    "regression_standardized",
    "regression_centered",
    "regression_simreg_head",
    "regression_similarity",
    "burn",
    "regression_decay",
    "regression_places",
    "regression_signs",
    "regression_slow",
    "regression_fast",
)

BUDGETS = {
    "small": Budget(
        images=10_000,
        teacher_epochs=12,
        epochs=4,
        seeds=1,
        settings=("objective.queue_size=4096", "data.batch_size=64"),
        rows=(
            "teacher",
            "untrained",
            "baseline_sgd",
            "contrastive",
            "contrastive_distillation",
            "distillation",
            "distillation_two_temperatures",
            "regression",
        ),
    ),
    # Every idea once, at a fraction of the length, to see which deserve more.
    "screen": Budget(
        images=10_000,
        teacher_epochs=12,
        epochs=2,
        seeds=1,
        settings=(
            *("objective.queue_size=4096", "data.batch_size=64"),
            *("monitor.knn_every=0", "loggers=[]"),
        ),
        teacher_settings=("precision=bfloat16",),
        rows=("teacher", "pixels", "untrained", "regression", *IDEAS),
        choices=True,
    ),
    "full": Budget(
        images=55_000,
        teacher_epochs=30,
        epochs=6,
        seeds=3,
        teacher_settings=("precision=bfloat16",),
    ),
}

SEVERAL_SEEDS = (
    "teacher",
    "baseline_sgd",
    "contrastive",
    "contrastive_distillation",
    "distillation",
    "distillation_two_temperatures",
    "regression",  # the best row that is not in the paper
)
GUIDED = ("distillation", "similarity", "regression", "burn")


class OutOfTime(Exception):
    """Raised when the time is over or the user pressed Ctrl-C; everything is saved."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", choices=BUDGETS, default="small")
    parser.add_argument("--minutes", type=float, help="Stop and save after this time.")
    parser.add_argument("--choices", action="store_true", help="Test on held-out training images.")
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="Only these.")
    parser.add_argument("--seeds", nargs="+", type=int, help="Only these.")
    parser.add_argument("--teacher", type=Path, help="A run to use instead of training one.")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="Applied to every run."
    )
    parser.add_argument("--output-dir", type=Path, default=ROOT / "runs" / "reproduce")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "results.md")
    options = parser.parse_args()

    budget = BUDGETS[options.budget]
    table = Table(options, budget)
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else None
    try:
        for seed in options.seeds or range(budget.seeds):
            for row in options.rows or budget.rows or ROWS:
                wanted = seed == 0 or row in SEVERAL_SEEDS or options.rows
                if wanted and not table.has(row, seed):
                    table.add(row, seed, deadline)
    except OutOfTime:
        print("Stopped; the same command resumes from here.", file=sys.stderr)
    print(as_text(table.content["rows"]))
    if not options.choices:
        publish(table.content["rows"], options.page, options.budget)


class Table:
    """The rows measured so far, in a JSON file."""

    def __init__(self, options: argparse.Namespace, budget: Budget):
        self.budget = budget
        self.settings = (*budget.settings, *options.set)
        self.teacher = options.teacher
        self.runs = options.output_dir / options.budget
        suffix = "_choices" if options.choices else ""
        self.path = options.results / f"fashion_mnist_{options.budget}{suffix}.json"
        held_out, final = make_subsets(options.output_dir / "data", budget.images)
        self.train_source = f"idx:{held_out}"  # the same training images in both
        self.test_source = f"idx:{held_out if options.choices or budget.choices else final}"
        self.content = {"budget": dataclasses.asdict(budget), "set": options.set, "rows": {}}
        self.read()

    def read(self) -> None:
        """Read what has been measured so far, including by other processes."""
        if self.path.exists():
            self.content = json.loads(self.path.read_text())

    def has(self, row: str, seed: int) -> bool:
        return str(seed) in self.content["rows"].get(row, {})

    def add(self, row: str, seed: int, deadline: float | None) -> None:
        """Train and measure one row and write the file."""
        runs = self.runs / f"seed{seed}"
        recipes = ROWS[row].recipes
        changed = ROWS[row].settings or ROWS[row].in_step1
        own = runs / row if changed else runs
        before: Path | None = None
        if row == "teacher" and self.teacher is not None:
            runs.mkdir(parents=True, exist_ok=True)
            (runs / "teacher").symlink_to(self.teacher.resolve())
            recipes, before = [], runs / "teacher"
        for recipe in recipes:
            run = own / recipe
            train(self.command(row, run, before, seed), run, deadline)
            before = run
        if row == "pixels":
            measured = measure_pixels(self.test_source) | {"date": time.strftime("%Y-%m-%d")}
            return self.record(row, seed, measured)
        if before is None:
            before = untrained_student(runs / "untrained", self, seed)
        if row == "supervised":
            measured = self.supervise(before, seed, deadline)
        else:
            print(f"== measuring {row}, seed {seed}", file=sys.stderr, flush=True)
            measured = measure(before, self.test_source, brief=self.budget.choices)
            measured |= costs([own / recipe for recipe in recipes])
        measured["date"] = time.strftime("%Y-%m-%d")
        self.record(row, seed, measured)

    def supervise(self, untrained: Path, seed: int, deadline: float | None) -> dict:
        """Train a student on all labels, with the crops of the other rows, and measure it."""
        from s2bnn_tf.evaluation import results_dir
        from s2bnn_tf.runs import RunDirectory

        command = [sys.executable, "-m", "s2bnn_tf", "eval", "finetune", str(untrained)]
        command += ["--data", self.test_source, "--epochs", str(self.budget.epochs)]
        command += ["--seed", str(seed)]
        command += ["--min-crop", str(RunDirectory(untrained).config.data.crop_scale[0])]
        (untrained / "cost.json").unlink(missing_ok=True)  # an unfinished run starts over
        started = time.monotonic()
        train(command, untrained, deadline)
        wall = time.monotonic() - started
        other = None if self.test_source == self.train_source else self.test_source
        result = json.loads((results_dir(untrained, other) / "finetune.json").read_text())
        images = result["n_train"] * result["epochs"]
        return {"linear": result["top1"]} | cost_of([untrained], images, wall)

    def record(self, row: str, seed: int, measured: dict) -> None:
        """Add a row's numbers to the file; several processes may do so at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            self.read()
            self.content["rows"].setdefault(row, {})[str(seed)] = measured
            write_json(self.path, self.content)
        finally:
            os.close(directory)  # this also releases the lock

    def command(self, row: str, run: Path, before: Path | None, seed: int) -> list[str]:
        """Return the `s2bnn train` command for one run of a row, which is named like its recipe."""
        recipe = run.name
        epochs = self.budget.epochs // (2 if recipe.endswith(("_step1", "_step2")) else 1)
        settings = [
            *self.settings,
            f"data.source={self.train_source}",
            f"seed={seed}",
            f"epochs={self.budget.teacher_epochs if row == 'teacher' else epochs}",
        ]
        settings += self.budget.teacher_settings if row == "teacher" else ()
        if any(guide in row for guide in GUIDED):
            settings.append(f"teacher.weights={self.runs / f'seed{seed}' / 'teacher'}")
        settings += ROWS[row].settings
        settings += ROWS[row].in_step1 if before is None else ()
        if before is not None:
            settings.append(f"student.init_from={before}")
        config = ROOT / "configs" / "fashion_mnist" / f"{recipe}.yaml"
        command = [sys.executable, "-m", "s2bnn_tf", "train", str(config)]
        command += ["--output-dir", str(run)]
        return command + [part for setting in settings for part in ("--set", setting)]


def make_subsets(directory: Path, images: int) -> tuple[Path, Path]:
    """Write two IDX directories with the same training images, a fixed random subset.

    The test images in the first are training images outside the subset; those in the
    second are the real test images.
    """

    def read(name: str, header: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((SOURCE / name).read_bytes()), np.uint8, offset=header)

    def write(folder: Path, split: str, pictures: np.ndarray, labels: np.ndarray) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        head = struct.pack(">IIII", 2051, *pictures.shape)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(head + pictures.tobytes())
        head = struct.pack(">II", 2049, len(labels))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())

    pictures, labels = {}, {}
    for split in ("train", "t10k"):
        pictures[split] = read(f"{split}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        labels[split] = read(f"{split}-labels-idx1-ubyte.gz", 8)
    order = np.random.default_rng(0).permutation(len(labels["train"]))
    chosen, held_out = order[:images], order[-HELD_OUT:]
    folders = [directory / f"fashion_{images}_{name}" for name in ("held_out", "test")]
    for folder in folders:
        write(folder, "train", pictures["train"][chosen], labels["train"][chosen])
    write(folders[0], "t10k", pictures["train"][held_out], labels["train"][held_out])
    write(folders[1], "t10k", pictures["t10k"], labels["t10k"])
    return folders[0], folders[1]


def train(command: list[str], run: Path, deadline: float | None) -> None:
    """Run `s2bnn train` to its end and add what it cost to RUN/cost.json."""
    print("==", " ".join(command[2:]), file=sys.stderr, flush=True)
    cost_path = run / "cost.json"
    cost = json.loads(cost_path.read_text()) if cost_path.exists() else {}
    if cost.get("finished"):
        return
    child = subprocess.Popen(command, cwd=ROOT)
    pid, stopped = 0, False
    while not pid:
        try:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if not pid:
                time.sleep(0.5)
        except KeyboardInterrupt:  # the child receives the signal too
            stopped = True
        if deadline is not None and time.monotonic() > deadline and not stopped:
            child.send_signal(signal.SIGINT)  # the child saves and exits
            stopped = True
    child.returncode = os.waitstatus_to_exitcode(status)
    cost["processor_seconds"] = cost.get("processor_seconds", 0) + usage.ru_utime + usage.ru_stime
    cost["peak_memory_mib"] = max(cost.get("peak_memory_mib", 0), usage.ru_maxrss / 1024)
    cost["finished"] = child.returncode == 0
    if run.exists():
        cost_path.write_text(json.dumps(cost))
    if stopped and not cost["finished"]:
        raise OutOfTime
    if child.returncode:
        sys.exit(
            f"Training ended with status {child.returncode}; nothing is lost, so run it again."
        )


def costs(runs: list[Path]) -> dict:
    """Return the processor time, images per processor second and memory of a row's runs.

    Processor time rather than wall time, as other work on the machine hardly changes it.
    """
    if not runs:
        return {}
    images, wall = 0.0, 0.0
    for run in runs:
        for line in (run / "metrics.jsonl").read_text().splitlines():
            epoch = json.loads(line)
            wall += epoch["seconds"]
            images += epoch["seconds"] * epoch["images_per_second"]
    return cost_of(runs, images, wall)


def cost_of(runs: list[Path], images: float, wall: float) -> dict:
    """Summarize the costs that `train` wrote for runs over a number of images and seconds."""
    found = [json.loads((run / "cost.json").read_text()) for run in runs]
    seconds = sum(cost["processor_seconds"] for cost in found)
    return {
        "processor_minutes": seconds / 60,
        "wall_minutes": wall / 60,
        "images_per_processor_second": images / seconds,
        "images_per_second": images / wall,
        "peak_memory_mib": max(cost["peak_memory_mib"] for cost in found),
    }


def untrained_student(path: Path, table: Table, seed: int) -> Path:
    """Write the student with its initial weights and return its run directory."""
    import tensorflow as tf

    from s2bnn_tf.config import load_config
    from s2bnn_tf.runs import leave_untrained

    settings = [*table.settings, f"data.source={table.train_source}", f"seed={seed}"]
    recipe = ROOT / "configs" / "fashion_mnist" / "contrastive_one_step.yaml"
    config = load_config(recipe, settings)
    tf.keras.utils.set_random_seed(seed)
    return leave_untrained(config, path).path


def measure_pixels(source: str) -> dict:
    """Return the accuracies of the pixels of 32x32 images, less their mean."""
    from s2bnn_tf.data import open_source
    from s2bnn_tf.evaluation import fit_linear_probe, knn_accuracy
    from s2bnn_tf.pipeline.measure import pixel_features

    train, test = (open_source(source, split) for split in ("train", "test"))
    features = pixel_features(train, test, 32, 1.0)
    probe = fit_linear_probe(*features, class_names=train.class_names, max_iterations=100)
    return {"knn": knn_accuracy(*features)["top1"], "linear": probe.metrics["top1"]}


def measure(run: Path, source: str, brief: bool = False) -> dict:
    """Return the measurements of one row; of a brief one, kNN and the linear probe alone."""
    from s2bnn_tf import evaluation

    measured = {
        "knn": evaluation.evaluate_knn(run, source)["top1"],
        "linear": evaluation.evaluate_linear(run, source)["top1"],
    }
    if brief:
        return measured
    few = evaluation.evaluate_low_label(run, source, amounts=["10"])["amounts"]["10"]
    measured |= {"ten_labels": few["top1"], "ten_labels_interval": few["confidence_interval"]}
    found = evaluation.evaluate_calibration(run, source, views=1024)
    keys = ("temperature", "teacher_temperature", "uniform_entropy", "kl_mean")
    keys += ("kl_of_uniform_mean", "rank_agreement_mean", "same_largest_coordinate")
    measured["calibration"] = {key: found[key] for key in keys if key in found}
    for side in ("student", "teacher"):
        if side in found:
            measured["calibration"][f"{side}_entropy"] = found[side]["entropy_mean"]
    return measured


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
