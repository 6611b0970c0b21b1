"""How many processor minutes until a student is good: the paper's recipe, and that of `s2bnn fit`.

    taskset -c 0 python benchmarks/minutes_to.py digits
    taskset -c 0 python benchmarks/minutes_to.py fashion_mnist    # hours

Good is a kNN accuracy of 88 % on the digits, and a linear probe of 86 % on Fashion-MNIST. Each
recipe is tried in lengths that double, teacher and student alike, until one is good. A length is
trained from its beginning, since learning rates fall with its end in sight. Each stage is a process
of `s2bnn train`, and its minutes are those of the processor, start-up included.

If the script is stopped, it resumes: stages that are done are not trained again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fit import processor

from s2bnn_tf.evaluation import evaluate_knn, evaluate_linear
from s2bnn_tf.files import write_json
from s2bnn_tf.pipeline import Options
from s2bnn_tf.pipeline.choices import choose, sizes_and_batches
from s2bnn_tf.pipeline.look import look_at

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "minutes_to.json"
STAGES = ("teacher", "step1", "step2")
WAYS = ("paper", "fit")


class Goal(NamedTuple):
    """Images, and when a student of them is good."""

    source: str
    metric: str
    top1: float
    epochs: tuple[int, ...]  # of the paper's recipe: of its teacher; its students have half of them
    steps: tuple[int, ...]  # of each stage of fit


GOALS = {
    "digits": Goal("digits", "knn", 0.88, (3, 6, 12, 24, 48), (13, 25, 50, 100, 200)),
    "fashion_mnist": Goal(
        "idx:/usr/share/datasets/fashion-mnist",
        "linear",
        0.86,
        (2, 4, 8, 16, 32),
        (500, 1000, 2000, 4000, 8000),
    ),
}


class Stage(NamedTuple):
    """A command line of `s2bnn train`, but for its output."""

    recipe: str
    changes: tuple[str, ...]


def stages_of_paper(name: str, epochs: int, folder: Path) -> Iterator[Stage]:
    """The recipes of configs/NAME: contrast for the teacher, distillation in two steps."""
    source = f"data.source={GOALS[name].source}"
    yield Stage(f"{name}/teacher.yaml", (source, f"epochs={epochs}"))
    own = f"teacher.weights={json.dumps(str(folder / 'teacher'))}"
    shared = (source, own, f"epochs={max(1, epochs // 2)}")
    yield Stage(f"{name}/distillation_step1.yaml", shared)
    yield Stage(f"{name}/distillation_step2.yaml", (*shared, begun(folder)))


def stages_of_fit(name: str, steps: int, folder: Path) -> Iterator[Stage]:
    """The recipes of `s2bnn fit`: the student begins as the starter, and learns from it, too."""
    look = look_at(GOALS[name].source, folder, share=0.2)
    size, batch = next(sizes_and_batches(look, Options()))
    recipes = choose(look, Options(), size, batch)
    length = f"steps={steps}"
    own = f"teacher.weights={json.dumps(str(folder / 'teacher'))}"
    yield Stage("fit/teacher.yaml", (*recipes["teacher"], length))
    yield Stage("fit/regression_step1.yaml", (*recipes["step1"], own, length))
    yield Stage("fit/regression_step2.yaml", (*recipes["student"], own, begun(folder), length))


def begun(folder: Path) -> str:
    return f"student.init_from={json.dumps(str(folder / 'step1'))}"


def train(stage: Stage, run: Path) -> float:
    """Train a stage unless that is done, and return its processor minutes."""
    cost = run / "minutes.json"
    if not cost.exists():
        changes = [word for change in stage.changes for word in ("--set", change)]
        command = [sys.executable, "-m", "s2bnn_tf", "train", str(ROOT / "configs" / stage.recipe)]
        child = subprocess.Popen([*command, "--output-dir", str(run), *changes], cwd=ROOT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(child.returncode)
        write_json(cost, {"minutes": (usage.ru_utime + usage.ru_stime) / 60})
    return float(json.loads(cost.read_text())["minutes"])


def measure(model: str | Path, goal: Goal) -> float:
    """The accuracy that the goal is about."""
    evaluate = evaluate_knn if goal.metric == "knn" else evaluate_linear
    return float(evaluate(model, goal.source)["top1"])


def try_length(name: str, way: str, length: int, folder: Path) -> dict[str, Any]:
    """Train and measure one length of a recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    stages = (stages_of_paper if way == "paper" else stages_of_fit)(name, length, folder)
    minutes = {part: train(stage, folder / part) for part, stage in zip(STAGES, stages)}
    return {
        "top1": measure(folder / "step2", GOALS[name]),
        "teacher_top1": measure(folder / "teacher", GOALS[name]),
        "minutes": sum(minutes.values()),
        "minutes_of_student": sum(minutes.values()) - minutes["teacher"],
        "processor": processor(),
        "date": datetime.date.today().isoformat(),
    }


def main() -> None:
    """Try what is not known yet, and print all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=GOALS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--output-dir", type=Path, default=ROOT / "runs" / "minutes_to")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    goal = GOALS[options.name]
    known: dict[str, Any] = {}
    if options.results.exists():
        known = json.loads(options.results.read_text())
    rows = known.setdefault(options.name, {})
    for way in options.ways:
        found = rows.setdefault(way, {})
        for length in goal.epochs if way == "paper" else goal.steps:
            if str(length) not in found:
                folder = options.output_dir.resolve() / options.name / way / str(length)
                found[str(length)] = try_length(options.name, way, length, folder)
                write_json(options.results, known)
            row = found[str(length)]
            print(f"{way:<6} {length:>5}  {100 * row['top1']:5.1f}  {row['minutes']:5.1f} minutes")
            if row["top1"] >= goal.top1:
                break


if __name__ == "__main__":
    main()
