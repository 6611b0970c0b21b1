"""A second data set, in color: emoji as two vendors draw them.

    npm pack emoji-datasource-google emoji-datasource-twitter
    for f in emoji-datasource-*.tgz; do
        mkdir -p emoji && tar xzf $f -C emoji --strip-components=1
    done
    python benchmarks/emoji.py --emoji emoji
    python benchmarks/emoji.py --emoji emoji --rows pixels untrained starter

Both packages are free (MIT; Noto's pictures Apache-2.0, Twemoji's CC-BY-4.0) and none of them is
committed. A fifth of the emoji is held out, in both styles. Students learn from the others without
labels, at 64 pixels. Two things are measured on the held-out ones, in percent: kNN of the groups
that the Unicode standard puts them in, and retrieval, the share of emoji whose nearest neighbor
among those of the other vendor is the same emoji. If the script is stopped, it resumes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fit import processor

from s2bnn_tf.config import load_config
from s2bnn_tf.data import ImageSource, open_source
from s2bnn_tf.evaluation import extract_features, knn_accuracy, nearest_neighbors
from s2bnn_tf.files import write_json
from s2bnn_tf.pipeline import train_recipe
from s2bnn_tf.pipeline.measure import pixel_features
from s2bnn_tf.recipes import config_path
from s2bnn_tf.runs import leave_untrained
from s2bnn_tf.teachers import open_model
from s2bnn_tf.training import TrainingStopped

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "emoji.json"
VENDORS = ("google", "twitter")
# Steps of the teacher, and of a row.
BUDGETS = {"small": (400, 400), "medium": (1000, 800), "full": (4000, 3000)}
# Recipes of configs/, in order; none where nothing is trained here.
ROWS: dict[str, tuple[str, ...]] = {
    "pixels": (),
    "untrained": (),
    "starter": (),
    "efficientnet_lite0": (),
    "teacher": ("fit/teacher.yaml",),
    "baseline_sgd": ("fashion_mnist/baseline_sgd.yaml",),
    **{
        name: (f"fashion_mnist/{name}_step1.yaml", f"fashion_mnist/{name}_step2.yaml")
        for name in ("contrastive", "contrastive_distillation", "distillation", "regression")
    },
}
# The recipes of Fashion-MNIST, for colored pictures of 64 pixels.
CHANGES = (
    "data.image_size=64",
    "data.batch_size=64",
    "data.crop_scale=[0.3, 1.0]",
    "data.center_crop=1.0",
    "data.jitter_probability=0.2",
    "objective.queue_size=2048",
    "monitor.knn_every=0",
)


def main() -> None:
    """Train and measure the rows that are not there, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--emoji", type=Path, required=True, help="Both packages, in one folder.")
    parser.add_argument("--budget", choices=BUDGETS, default="full")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--output-dir", type=Path, default=ROOT / "runs" / "emoji")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    pictures = lay_out(options.emoji, options.output_dir / "pictures")
    known = json.loads(options.results.read_text()) if options.results.exists() else {}
    rows = known.setdefault(options.budget, {})
    for row in options.rows:
        if row not in rows:
            rows[row] = {**measure(row, pictures, options), "processor": processor()}
            write_json(options.results, known)
    for row, found in rows.items():
        print(f"{row:<26} kNN {found['knn']:5.1f}   retrieval {found['retrieval']:5.1f}")


def lay_out(emoji: Path, output: Path) -> Path:
    """Write train/GROUP/CODE-VENDOR.png and test/GROUP/..., unless that is done.

    Skin tones are left out, which are variants of one emoji, and so is what one vendor lacks.
    """
    if output.is_dir():
        return output
    part = output.with_name(output.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    listed = json.loads((emoji / "emoji.json").read_text())
    both = [e for e in listed if all(e.get(f"has_img_{vendor}") for vendor in VENDORS)]
    both = sorted((e for e in both if e["category"] != "Component"), key=lambda e: e["image"])
    held_out = np.random.default_rng(0).permutation(len(both)) < len(both) // 5
    for entry, is_held_out in zip(both, held_out):
        group = entry["category"].lower().replace(" & ", "-and-").replace(" ", "-")
        folder = part / ("test" if is_held_out else "train") / group
        folder.mkdir(parents=True, exist_ok=True)
        for vendor in VENDORS:
            picture = emoji / "img" / vendor / "64" / entry["image"]
            code = Path(entry["image"]).stem
            shutil.copyfile(picture, folder / f"{code}-{vendor}.png")
    part.rename(output)
    return output


def measure(row: str, pictures: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train a row as far as it is not trained, and measure it."""
    train, test = (open_source(f"folder:{pictures}", split) for split in ("train", "test"))
    if row == "pixels":
        bank, labels, queries, wanted = pixel_features(train, test, 8, 1.0)
    else:
        encoder = open_model(model_of(row, pictures, options))
        (bank, labels), (queries, wanted) = (extract_features(encoder, s) for s in (train, test))
    return {
        "knn": round(100 * knn_accuracy(bank, labels, queries, wanted)["top1"], 1),
        "retrieval": round(100 * retrieval(queries, test), 1),
        "emoji": len(test) // 2,
    }


def model_of(row: str, pictures: Path, options: argparse.Namespace) -> str | Path:
    """The run or the name of a row's network, which is trained if that is not done."""
    for_teacher, for_row = BUDGETS[options.budget]
    runs = options.output_dir.resolve() / options.budget
    source = f"data.source={json.dumps(f'folder:{pictures.resolve()}')}"
    if row == "untrained":
        config = load_config(config_path("fit/regression_step2.yaml"), [source, *CHANGES])
        return leave_untrained(config, runs / "untrained").path
    if not ROWS[row]:
        return row
    run = runs / row
    for number, recipe in enumerate(ROWS[row]):
        steps = (for_teacher if row == "teacher" else for_row) // len(ROWS[row])
        changes = [source, *CHANGES, f"steps={steps}"]
        if row != "teacher":
            changes.append("student.stem=medium")
        if "distillation" in row or row == "regression":
            changes.append(f"teacher.weights={json.dumps(str(runs / 'teacher'))}")
        if number:
            changes.append(f"student.init_from={json.dumps(str(run))}")
        run = runs / (Path(recipe).stem if len(ROWS[row]) > 1 else row)
        try:
            train_recipe(config_path(recipe), run, overrides=changes)
        except TrainingStopped as stopped:
            sys.exit(f"{stopped} The same command resumes from there.")
    return run


def retrieval(features: np.ndarray, source: ImageSource) -> float:
    """The share of emoji that find themselves in the other style, over both directions."""
    names = [Path(str(source.identify(i))).stem.rsplit("-", 1) for i in range(len(source))]
    codes = np.array([code for code, _ in names])
    vendors = np.array([vendor for _, vendor in names])
    hits = []
    for one, other in (VENDORS, VENDORS[::-1]):
        asked, among = vendors == one, vendors == other
        nearest = nearest_neighbors(features[among], features[asked], 1)[1][:, 0]
        hits.append(codes[among][nearest] == codes[asked])
    return float(np.mean(np.concatenate(hits)))


if __name__ == "__main__":
    main()
