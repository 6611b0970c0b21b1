"""Measure few-shot accuracy on Fashion-MNIST: classes enrolled by a few images, without training.

    python benchmarks/few_shot.py [--student RUN --teacher RUN]

By default it uses the runs of reproduce_fashion_mnist.py --budget small and trains them if they are
missing. It encodes a fixed random subset of the training images and all test images with the
student, the student's `.tflite` in s2bnn_runtime, the teacher, and the student before training.
From the subset, 1, 5, 10 and 50 images per class are drawn 20 times, the same for all four
encoders. `s2bnn_runtime.PrototypeClassifier` enrolls them and classifies the test images. The table
is written to the documentation and the accuracy of every draw to a JSON file. So is a second one:
the student's accuracy with several prototypes a class, made from 10 images and from 50.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from fashion_mnist_table import write_between_marks

from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.errors import UserError
from s2bnn_tf.files import write_json

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "idx:/usr/share/datasets/fashion-mnist"
RUNS = ROOT / "runs" / "reproduce" / "small" / "seed0"
REPRODUCE = (
    str(ROOT / "benchmarks" / "reproduce_fashion_mnist.py"),
    *("--budget", "small", "--rows", "teacher", "distillation"),
)
SHOTS = (1, 5, 10, 50)
PROTOTYPES = (1, 2, 4)  # of each class
SEVERAL = (10, 50)  # shots of which several prototypes are made
POOL = 10_000  # training images to draw from
TITLES = {
    "teacher": "teacher",
    "student": "binary student",
    "tflite": "its `.tflite`, in s2bnn_runtime",
    "untrained": "the same student, untrained",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--student", type=Path, help="a run directory")
    parser.add_argument("--teacher", type=Path, help="a run directory")
    parser.add_argument("--draws", type=int, default=20, help="number of draws (default 20)")
    parser.add_argument("--data", default=SOURCE, help=f"labeled images (default {SOURCE})")
    results = ROOT / "benchmarks" / "results" / "few_shot.json"
    parser.add_argument("--output", type=Path, default=results, help="the JSON file to write")
    page = ROOT / "docs" / "deploy.md"
    parser.add_argument("--page", type=Path, default=page, help="the page to insert the table into")
    options = parser.parse_args()
    quiet_tensorflow()

    if options.student is None or options.teacher is None:
        subprocess.run([sys.executable, *REPRODUCE], check=True)
    student = options.student or RUNS / "distillation_step2"
    teacher = options.teacher or RUNS / "teacher"
    accuracies, several = measure(student, teacher, options.data, options.draws)
    about = {"date": time.strftime("%Y-%m-%d"), "data": options.data, "pool": POOL}
    results = {"accuracy": accuracies, "prototypes": several}
    write_json(options.output, {**about, "draws": options.draws, **results})
    table = f"{make_table(accuracies)}\n\n{make_prototypes_table(several)}"
    print(table)
    write_between_marks(options.page, "few-shot", table)


def measure(
    student: Path, teacher: Path, data: str, draws: int
) -> tuple[dict[str, dict], dict[str, dict]]:
    """Return accuracies, one per draw: by encoder and shots, and by shots and prototypes."""
    from s2bnn_tf.data import open_source
    from s2bnn_tf.evaluation import extract_features

    train, test = open_source(data, "train"), open_source(data, "test")
    train = train.select(np.random.default_rng(0).permutation(len(train))[:POOL])
    drawn = draw(train.labels, draws)
    accuracies, several = {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, encoder in open_encoders(student, teacher, Path(temporary)).items():
            print(f"encoding: {TITLES[name]}", flush=True)
            pool, labels = extract_features(encoder, train)
            features, expected = extract_features(encoder, test)
            accuracies[name] = {
                str(shots): [accuracy(pool, labels, rows, features, expected) for rows in sets]
                for shots, sets in drawn.items()
            }
            if name == "student":
                several = {
                    str(shots): {
                        str(count): [
                            accuracy(pool, labels, rows, features, expected, count)
                            for rows in drawn[shots]
                        ]
                        for count in PROTOTYPES
                    }
                    for shots in SEVERAL
                }
    return accuracies, several


def open_encoders(student: Path, teacher: Path, folder: Path) -> dict:
    import tensorflow as tf

    from s2bnn_tf.export import convert_run
    from s2bnn_tf.runs import LoadedEncoder, RunDirectory, build_encoder, open_encoder

    config = RunDirectory(student).config
    convert_run(student, folder / "student.tflite")
    tf.keras.utils.set_random_seed(config.seed)
    return {
        "teacher": open_encoder(teacher),
        "student": open_encoder(student),
        "tflite": open_encoder(folder / "student.tflite", runtime="s2bnn"),
        "untrained": LoadedEncoder(build_encoder(config), config, student),
    }


def draw(labels: np.ndarray, draws: int) -> dict[int, list[np.ndarray]]:
    """Return row indices for each number of shots; smaller sets are part of the larger ones."""
    drawn: dict[int, list[np.ndarray]] = {shots: [] for shots in SHOTS}
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(len(labels))
        classes = [order[labels[order] == label] for label in np.unique(labels)]
        for shots in SHOTS:
            drawn[shots].append(np.concatenate([rows[:shots] for rows in classes]))
    return drawn


def accuracy(pool, labels, rows, features, expected, prototypes: int = 1) -> float:
    """Return the accuracy on features (M, C) after enrolling the given rows of the pool."""
    from s2bnn_runtime import PrototypeClassifier

    classifier = PrototypeClassifier()
    for label in np.unique(labels):
        classifier.enroll(str(label), pool[rows][labels[rows] == label])
        classifier.split(str(label), prototypes)
    names = np.array(list(classifier.counts))
    predicted = names[classifier.scores(features).argmax(axis=1)].astype(int)
    return float(np.mean(predicted == expected))


def make_table(accuracies: dict[str, dict]) -> str:
    lines = ["| images per class | " + " | ".join(map(str, SHOTS)) + " |", "|---" * 5 + "|"]
    for name, title in TITLES.items():
        cells = [describe(accuracies[name][str(shots)]) for shots in SHOTS]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def make_prototypes_table(several: dict[str, dict]) -> str:
    heads = [f"{shots} images" for shots in SEVERAL]
    lines = [f"| prototypes per class | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for count in PROTOTYPES:
        cells = [describe(several[str(shots)][str(count)]) for shots in SEVERAL]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def describe(accuracies: list[float]) -> str:
    percent = 100 * np.array(accuracies)
    return f"{percent.mean():.1f} ± {percent.std(ddof=1):.1f} %"


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
