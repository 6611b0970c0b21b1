"""What a student of `s2bnn fit` gains by beginning as the starter, and by learning from it, too.

    python benchmarks/fit_from_starter.py photographs PHOTOS
    python benchmarks/fit_from_starter.py emoji EMOJI --steps 250 --set data.image_size=64

The folder's subfolders are its classes, which only measure. One teacher of the folder's own is
trained, and then students by the recipes of `s2bnn fit`, all in as many steps and with the same
teacher. They differ in what their weights begin with, and in what they learn from: the teacher, or
the starter beside it. The starter as it ships is measured on the same held-out
pictures. If the script is stopped, it resumes. The numbers go to
benchmarks/results/fit_from_starter.json, one entry for each set of pictures.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
from fit import processor

from s2bnn_tf.data import open_source
from s2bnn_tf.evaluation import evaluate_linear, extract_features, knn_accuracy
from s2bnn_tf.files import write_json
from s2bnn_tf.pipeline import Options
from s2bnn_tf.pipeline.choices import choose, sizes_and_batches
from s2bnn_tf.pipeline.look import Look, look_at
from s2bnn_tf.pipeline.measure import pixel_features
from s2bnn_tf.pipeline.recipes import load
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.teachers import open_model
from s2bnn_tf.training import pretrain

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "fit_from_starter.json"
# What the weights begin with, and what the student learns from
ARMS = {
    "random_own": ("random weights", "its own teacher"),
    "starter_own": ("the starter", "its own teacher"),
    "starter_mix": ("the starter", "its own teacher and the starter"),
}
_EXAMPLES, _DRAWS = 5, 40


def changes_of(arm: str, own: Path) -> tuple[str, ...]:
    """The changes that make the recipes of a fit those of an arm."""
    changes = [f"teacher.weights={json.dumps(str(own))}", "student.embedding_dim=128"]
    if not arm.endswith("mix"):
        changes += ["teacher.beside=null", "teacher.reduce_to=null"]
    return tuple(changes)


def train(stage: str, changes: tuple[str, ...], run: Path) -> Path:
    """Train a stage unless that is done."""
    if not RunDirectory(run).weights_path.is_file():
        pretrain(load(stage, changes), run)
    return run


def train_all(
    look: Look, folder: Path, steps: int, given: tuple[str, ...]
) -> dict[str, str | Path]:
    """The models to measure, by name."""
    size, _ = next(sizes_and_batches(look, Options()))
    length = f"steps={steps}"
    plain = choose(look, Options(init="random", overrides=given), size, 64)
    own = train("teacher", (*plain["teacher"], length), folder / "teacher")
    models: dict[str, str | Path] = {"starter": "starter", "teacher": own}
    for arm in ARMS:
        init = "random" if arm.startswith("random") else None
        options = Options(init=init, overrides=given)
        recipes = choose(look, options, size, 64)
        changes = (*changes_of(arm, own), length)
        first = train("step1", (*recipes["step1"], *changes), folder / f"{arm}_1")
        begun = f"student.init_from={json.dumps(str(first))}"
        models[arm] = train("student", (*recipes["student"], *changes, begun), folder / f"{arm}_2")
    return models


def measure(look: Look, model: str | Path) -> dict[str, float]:
    """kNN, a linear probe, and classes of a few examples, in percent."""
    train_set, test_set = (open_source(look.source, split) for split in ("train", "test"))
    encoder = open_model(model)
    (bank, labels), (queries, wanted) = (
        extract_features(encoder, source) for source in (train_set, test_set)
    )
    return {
        **of_features(bank, labels, queries, wanted),
        "linear": round(100 * evaluate_linear(model, look.source)["top1"], 1),
    }


def of_features(
    bank: np.ndarray, labels: np.ndarray, queries: np.ndarray, wanted: np.ndarray
) -> dict[str, float]:
    """kNN, and the mean of draws of a few examples per class, in percent."""
    return {
        "knn": round(100 * knn_accuracy(bank, labels, queries, wanted)["top1"], 1),
        "few_examples": round(100 * few_examples(bank, labels, queries, wanted), 1),
    }


def few_examples(
    bank: np.ndarray, labels: np.ndarray, queries: np.ndarray, wanted: np.ndarray
) -> float:
    """The accuracy of the nearest mean direction of a few examples per class."""
    rng, classes = np.random.default_rng(0), np.unique(labels)
    bank, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, queries))
    right = []
    for _ in range(_DRAWS):
        means = [
            bank[rng.permutation(np.flatnonzero(labels == label))[:_EXAMPLES]].mean(axis=0)
            for label in classes
        ]
        units = np.stack([mean / np.linalg.norm(mean) for mean in means])
        right.append(np.mean(classes[(queries @ units.T).argmax(axis=1)] == wanted))
    return float(np.mean(right))


def main() -> None:
    """Train and measure what is not there, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="What the folder holds, in the results.")
    parser.add_argument("folder")
    parser.add_argument("--steps", type=int, default=250, help="Of the teacher and of each step.")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="As for fit.")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "runs" / "fit_from_starter")
    options = parser.parse_args()
    folder = options.output_dir.resolve() / options.name.replace(" ", "_")
    (folder / "look").mkdir(parents=True, exist_ok=True)
    look = look_at(options.folder, folder / "look", share=0.2)
    models = train_all(look, folder, options.steps, tuple(options.set))
    known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    sources = [open_source(look.source, split) for split in ("train", "test")]
    known[options.name] = {
        "steps": options.steps,
        "test_images": look.test,
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "pixels_8x8": of_features(*pixel_features(*sources, 8, 1.0)),
        **{name: measure(look, model) for name, model in models.items()},
    }
    write_json(RESULTS, known)
    for name in ("pixels_8x8", *models):
        print(f"{name:<16}", known[options.name][name])


if __name__ == "__main__":
    main()
