"""Measure how well classification rejects pictures that belong to none of the enrolled classes.

    python benchmarks/rejection.py --encoder student=MODEL.tflite --encoder teacher=RUN

Each draw enrolls a random half of the classes with a few images each and holds out the other half.
Of the remaining images, those of the enrolled classes should be named and all others rejected. The
scores in `SCORES` are compared by their AUROC, by the false acceptances at a threshold that rejects
5 % of the enrolled classes' images, and by how often the nearest class is the right one. The last
row is `s2bnn-run classify` itself, whose thresholds come from the examples alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from one_class import auroc

from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.errors import DataError, UserError
from s2bnn_tf.files import write_json

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "idx:/usr/share/datasets/fashion-mnist"
SHOTS = (5, 10)
RATE = 0.05  # of false rejections
SHRINKAGE = 0.3  # of the covariance, toward a multiple of the identity
Array = np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--encoder", action="append", required=True, metavar="NAME=PATH", help="an encoder"
    )
    parser.add_argument("--data", default=SOURCE, help=f"labeled images (default {SOURCE})")
    parser.add_argument("--split", default="test", help="train or test (default test)")
    parser.add_argument("--images", type=int, default=2000, help="used images (default 2000)")
    parser.add_argument("--draws", type=int, default=20, help="number of draws (default 20)")
    results = ROOT / "benchmarks" / "results" / "rejection.json"
    parser.add_argument("--output", type=Path, default=results, help="the JSON file to write")
    options = parser.parse_args()
    quiet_tensorflow()
    found = {}
    for name, path in (pair.split("=", 1) for pair in options.encoder):
        features, labels = encode(path, options.data, options.split, options.images)
        found[name] = {shots: measure(features, labels, shots, options.draws) for shots in SHOTS}
        print(f"{name}\n\n{make_table(found[name])}\n", flush=True)
    about = {"date": time.strftime("%Y-%m-%d"), "data": options.data, "images": options.images}
    write_json(options.output, {**about, "draws": options.draws, "results": found})


def encode(path: str, data: str, split: str, count: int) -> tuple[Array, Array]:
    from s2bnn_tf.data import open_source
    from s2bnn_tf.evaluation import extract_features
    from s2bnn_tf.runs import open_encoder

    source = open_source(data, split)
    chosen = np.random.default_rng(0).permutation(len(source))[:count]
    source = source.select(np.sort(chosen))
    if np.unique(source.labels, return_counts=True)[1].min() <= max(SHOTS):
        raise DataError(f"Each class needs more than {max(SHOTS)} images; name more with --images.")
    return extract_features(open_encoder(path), source)


def measure(features: Array, labels: Array, shots: int, draws: int) -> dict[str, dict[str, float]]:
    """Return the means over all draws by score, and under "classify" those of the command."""
    drawn = [one_draw(features, labels, shots, seed) for seed in range(draws)]
    return {
        name: {key: float(np.mean([draw[name][key] for draw in drawn])) for key in values}
        for name, values in drawn[0].items()
    }


def one_draw(features: Array, labels: Array, shots: int, seed: int) -> dict[str, dict[str, float]]:
    from s2bnn_runtime import PrototypeClassifier

    units = unit(np.asarray(features, np.float64))
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    classes = rng.permutation(classes)[: len(classes) // 2]
    order = rng.permutation(len(labels))
    enrolled = [order[labels[order] == name][:shots] for name in classes]
    rest = np.setdiff1d(order, np.concatenate(enrolled))
    known = np.isin(labels[rest], classes)
    found = {}
    for name, score in SCORES.items():
        distances = score([units[rows] for rows in enrolled], units[rest])
        nearest = classes[distances.argmin(axis=1)]
        found[name] = about(distances.min(axis=1), known, nearest == labels[rest])
    ratios = np.sort(1 - cosines([units[rows] for rows in enrolled], units[rest]), axis=1)
    right = found["cosine to the mean"]["accuracy"]
    found["cosine, nearest by second"] = {
        **about(ratios[:, 0] / ratios[:, 1], known, known),
        "accuracy": right,
    }
    classifier = PrototypeClassifier()
    for name, rows in zip(classes, enrolled):
        classifier.enroll(str(name), units[rows])
    predicted = classifier.predict(units[rest], classifier.calibrated(RATE))
    rejected = np.array([prediction.name is None for prediction in predicted])
    found["classify"] = {
        "false_acceptances": float(1 - rejected[~known].mean()),
        "false_rejections": float(rejected[known].mean()),
    }
    return found


def about(scores: Array, known: Array, right: Array) -> dict[str, float]:
    threshold = np.quantile(scores[known], 1 - RATE)
    return {
        "auroc": auroc(scores, ~known),
        "false_acceptances": float(np.mean(scores[~known] <= threshold)),
        "accuracy": float(right[known].mean()),
    }


def unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def means(examples: list[Array]) -> Array:
    return np.stack([rows.mean(axis=0) for rows in examples])


def cosines(examples: list[Array], queries: Array) -> Array:
    return queries @ unit(means(examples)).T


def nearest_example(examples: list[Array], queries: Array) -> Array:
    return np.stack([1 - (queries @ rows.T).max(axis=1) for rows in examples], axis=1)


def shared_covariance(examples: list[Array], queries: Array) -> Array:
    """The squared Mahalanobis distance (N, K) to each class, with one covariance for all classes.

    It is computed from the products of the examples, of which there are fewer than features.
    """
    rows = np.concatenate([rows - rows.mean(axis=0) for rows in examples])
    freedom = len(rows) - len(examples)
    shrunk = SHRINKAGE * (rows**2).sum() / freedom / rows.shape[1]
    inverse = np.linalg.inv(shrunk * freedom / (1 - SHRINKAGE) * np.eye(len(rows)) + rows @ rows.T)
    found = []
    for mean in means(examples):
        along = (queries - mean) @ rows.T
        squares = ((queries - mean) ** 2).sum(axis=1) - ((along @ inverse) * along).sum(axis=1)
        found.append(squares / shrunk)
    return np.stack(found, axis=1)


# The distance of each query (N, D) to each class, (N, K), of examples of unit length.
SCORES: dict[str, Callable[[list[Array], Array], Array]] = {
    "cosine to the mean": lambda examples, queries: 1 - cosines(examples, queries),
    "cosine to the nearest example": nearest_example,
    "shared covariance": shared_covariance,
}


def make_table(found: dict[int, dict[str, dict[str, float]]]) -> str:
    heads = [f"{key}, {n} examples" for n in found for key in ("AUROC", "accepted", "right")]
    lines = [f"| score | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name in next(iter(found.values())):
        cells = []
        for rows in found.values():
            row = rows[name]
            if name == "classify":
                cells += ["", f"{100 * row['false_acceptances']:.1f} %", ""]
            else:
                keys = ("auroc", "false_acceptances", "accuracy")
                cells += [f"{100 * row[key]:.1f} %" for key in keys]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lost = ", ".join(
        f"{100 * rows['classify']['false_rejections']:.1f} %" for rows in found.values()
    )
    return "\n".join(lines) + f"\n\nRejected by classify of the enrolled classes: {lost}"


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
