"""Whether a fit that begins with the starter is better than one with random weights.

    python benchmarks/fit_from_starter.py photographs PHOTOS --minutes 8 --seeds 0 1 2

Two fits of the same folder, seed and minutes run at the same time, each on a core of its own, and
each with a teacher of its own. The folder's subfolders are its classes, which only measure. The
starter as it ships, without any training, is measured on the same held-out pictures. If the script
is stopped, it resumes. The numbers go to benchmarks/results/fit_from_starter.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from fit import processor

from s2bnn_tf.evaluation import evaluate_knn, evaluate_linear
from s2bnn_tf.files import write_json
from s2bnn_tf.runs import RunDirectory

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "fit_from_starter.json"
SIDES: dict[str, tuple[str, ...]] = {
    "starter": ("--init", "starter"),
    "random": ("--set", "student.init_from=null"),
}


def begin(side: str, seed: int, core: int, runs: Path, options: argparse.Namespace):
    """Start a fit, or resume it, on one core."""
    command = ["taskset", "-c", str(core), sys.executable, "-m", "s2bnn_tf", "fit"]
    command += [options.folder, "--json", "--minutes", f"{options.minutes:g}", *SIDES[side]]
    command += ["--set", f"seed={seed}", "--output-dir", str(runs / f"{side}-{seed}")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def fit_both(seed: int, runs: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The accuracies of both sides, which change cores from seed to seed."""
    begun = {
        side: begin(side, seed, (number + seed) % 2, runs, options)
        for number, side in enumerate(SIDES)
    }
    rows: dict[str, Any] = {}
    for side, process in begun.items():
        printed, _ = process.communicate()
        if process.returncode:
            sys.exit(f"The fit of {side}, seed {seed} failed; the same command resumes.")
        found = json.loads(printed.splitlines()[-1])
        rows[side] = {name: found[name] for name in ("knn", "linear", "plan")}
    return rows


def untouched(run: Path) -> dict[str, float]:
    """The accuracies of the starter as it ships, on the pictures that measure the run."""
    data = RunDirectory(run).config.data.source
    return {
        "knn": evaluate_knn("starter", data)["top1"],
        "linear": evaluate_linear("starter", data)["top1"],
    }


def main() -> None:
    """Fit what is not there, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="What the folder holds, in the results.")
    parser.add_argument("folder")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output-dir", type=Path, default=ROOT / "runs" / "fit_from_starter")
    options = parser.parse_args()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    key = f"{options.name}, {options.minutes:g} minutes"
    rows = known.setdefault(key, {"processor": processor(), "seeds": {}})
    runs = options.output_dir.resolve() / key.replace(", ", "-").replace(" ", "-")
    for seed in options.seeds:
        if str(seed) not in rows["seeds"]:
            rows["seeds"][str(seed)] = fit_both(seed, runs, options)
            rows["date"] = datetime.date.today().isoformat()
            write_json(RESULTS, known)
    if "untouched" not in rows:
        rows["untouched"] = untouched(runs / f"starter-{options.seeds[0]}" / "student")
        write_json(RESULTS, known)
    for name, entry in known.items():
        print(f"{name}: the starter untouched {entry['untouched']}")
        for seed, found in entry["seeds"].items():
            for side in SIDES:
                knn, linear = (100 * found[side][probe]["student"] for probe in ("knn", "linear"))
                print(f"  seed {seed}, from {side:<8} kNN {knn:5.1f}   linear {linear:5.1f}")


if __name__ == "__main__":
    main()
