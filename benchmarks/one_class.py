"""Measure one-class Fashion-MNIST: what is unusual, learned from the images of one class alone.

    python benchmarks/one_class.py --encoder teacher=RUN --encoder student=MODEL.tflite

For each of the ten classes, the detectors of s2bnn_runtime learn what is normal from its training
images, and score all test images: those of the class are normal, all others unusual. The table
shows the mean AUROC over the classes for the pixels themselves and for every encoder named, a run
directory or a `.tflite`; a `.tflite` with a map is measured by its places as well. A path with `{}`
names ten encoders, one per class, each trained on the images of that class alone; only this column
can be compared with published one-class methods.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.errors import UserError
from s2bnn_tf.files import write_json

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "idx:/usr/share/datasets/fashion-mnist"
NORMAL = 2000  # normal images of each class
TEST = 10_000
BATCH = 250


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--encoder", action="append", default=[], metavar="NAME=PATH", help="an encoder to measure"
    )
    parser.add_argument("--data", default=SOURCE, help=f"labeled images (default {SOURCE})")
    parser.add_argument("--normal", type=int, default=NORMAL, help=f"a class (default {NORMAL})")
    parser.add_argument("--test", type=int, default=TEST, help=f"test images (default {TEST})")
    results = ROOT / "benchmarks" / "results" / "one_class.json"
    parser.add_argument("--output", type=Path, default=results, help="the JSON file to write")
    options = parser.parse_args()
    quiet_tensorflow()
    encoders = dict(pair.split("=", 1) for pair in options.encoder)
    found = measure(encoders, options.data, options.normal, options.test)
    about = {"date": time.strftime("%Y-%m-%d"), "data": options.data, "normal": options.normal}
    write_json(options.output, {**about, "test": options.test, "auroc": found})
    print(make_table(found))


def measure(
    encoders: dict[str, str], data: str, normal: int, test: int
) -> dict[str, dict[str, list[float]]]:
    """Return the AUROC of every class, by encoder and method."""
    from s2bnn_runtime.normal import METHODS

    from s2bnn_tf.data import open_source

    train, held_out = open_source(data, "train"), open_source(data, "test")
    rows = [np.flatnonzero(train.labels == label)[:normal] for label in np.unique(train.labels)]
    train = train.select(np.concatenate(rows))
    held_out = held_out.select(np.arange(min(test, len(held_out))))
    found: dict[str, dict[str, list[float]]] = {}
    for name, path in {"pixels": None, **encoders}.items():
        found[name] = {}
        given: tuple[dict[str, np.ndarray], ...] = ()
        for label in np.unique(train.labels):
            if not given or "{}" in str(path):
                own = path and path.replace("{}", str(label))
                given = tuple(samples(own, source) for source in (train, held_out))
            known, fresh = given
            for method in known:
                found[name].setdefault(method, []).append(
                    one_class(
                        *(METHODS[method], known[method], train.labels),
                        *(fresh[method], held_out, label),
                    )
                )
        print(name, {method: round(100 * np.mean(v), 2) for method, v in found[name].items()})
    return found


def samples(path: str | None, source) -> dict[str, np.ndarray]:
    """What each method learns from: features (N, 1, D), and maps (N, 1, h, w, C) if there are."""
    from s2bnn_tf.evaluation import extract_features
    from s2bnn_tf.runs import open_encoder

    if path is None:
        images = [source.read(number)[..., 0] for number in range(len(source))]
        return {"gaussian": np.stack(images).reshape(len(source), 1, -1).astype(np.float32)}
    encoder = open_encoder(path)
    features, _ = extract_features(encoder, source)
    given = {"gaussian": features[:, np.newaxis]}
    if getattr(encoder, "map_shape", None) is not None:
        given["patches"] = extract_maps(encoder, source)[:, np.newaxis]
    return given


def extract_maps(encoder, source) -> np.ndarray:
    from s2bnn_tf.data import labeled_dataset

    dataset = labeled_dataset(
        source,
        image_size=encoder.image_size,
        batch_size=BATCH,
        center_crop=encoder.center_crop,
        channels=encoder.channels,
    )
    return np.concatenate([encoder.maps(images) for images, _ in dataset.as_numpy_iterator()])


def one_class(method, known, labels, fresh, held_out, label) -> float:
    detector = method.fit([*known[labels == label]])
    scores = np.array([detector.heat(sample).max() for sample in fresh])
    return auroc(scores, held_out.labels != label)


def auroc(scores: np.ndarray, unusual: np.ndarray) -> float:
    """Return how often an unusual image has a higher score than a normal one; ties count half.

    >>> auroc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True]))
    0.875
    """
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positive, negative = int(unusual.sum()), int((~unusual).sum())
    wins = ranks[unusual].sum() - positive * (positive + 1) / 2
    return float(wins / (positive * negative))


def make_table(found: dict[str, dict[str, list[float]]]) -> str:
    lines = ["| features | Gaussian | places |", "|---|---|---|"]
    for name, methods in found.items():
        cells = [
            f"{100 * np.mean(methods[method]):.1f} %" if method in methods else ""
            for method in ("gaussian", "patches")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
