"""Train the starter: a 1-bit encoder that ships with the runtime.

    apt-get install openclipart-png gnome-backgrounds mate-backgrounds
    npm pack emoji-datasource-google && tar xzf emoji-datasource-google-*.tgz
    s2bnn teachers get efficientnet_lite0
    python benchmarks/starter.py train --emoji package/img/google/64 --budget full
    python benchmarks/starter.py measure
    python benchmarks/starter.py install

EfficientNet-Lite0 with its ImageNet weights (Apache-2.0) is the teacher, and the student regresses
128 principal components of its features, in two steps, on the free pictures of
starter_pictures.py. `train` is seeded; if it is stopped, the same command resumes. `measure`
compares kNN of the starter, of its teacher, of the untrained student, and of 8x8 pixels, on
pictures whose sources it never saw. `install` copies the network and its card to the runtime.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fit import processor
from sides import write_results
from starter_pictures import Places, gather

from s2bnn_tf.data import open_source
from s2bnn_tf.demo_pictures import cut_photographs
from s2bnn_tf.evaluation import extract_features, knn_accuracy, some_of
from s2bnn_tf.export import convert_run
from s2bnn_tf.files import write_json
from s2bnn_tf.pipeline import train_recipe
from s2bnn_tf.pipeline.measure import pixel_features
from s2bnn_tf.recipes import config_path
from s2bnn_tf.runs import RunDirectory, leave_untrained
from s2bnn_tf.teachers import open_model
from s2bnn_tf.training import TrainingStopped

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "starter.json"
SHIPPED = ROOT / "runtime" / "s2bnn_runtime" / "starter.tflite"
LARGEST = 600_000  # bytes
TEACHER = "efficientnet_lite0"
FASHION_MNIST = "idx:/usr/share/datasets/fashion-mnist"


@dataclass(frozen=True)
class Budget:
    """How much is trained.

    Attributes:
        image_size: Pixels of the student's input.
        crops: The crops of each picture that the teacher sees.
        steps: In step 1 and in step 2, of 32 pictures each.
    """

    image_size: int
    crops: int
    steps: tuple[int, int]


# About 10, 20 and 85 processor minutes.
BUDGETS = {
    "small": Budget(64, 2, (700, 1500)),
    "hour": Budget(96, 4, (2000, 1500)),
    "full": Budget(96, 16, (11_000, 8_000)),
}
ORIGIN = {
    "teacher": "EfficientNet-Lite0 with its ImageNet weights, Apache-2.0",
    "pictures": "openclipart-png, emoji-datasource-google, gnome-backgrounds, mate-backgrounds",
    "license": "Apache-2.0",
}
_FOLDS = 4
_MOST = 500  # pictures of a split that are measured


def main() -> None:
    """Train, measure, or install."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("train", "measure", "install"))
    parser.add_argument("--budget", choices=BUDGETS, default="full")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "runs" / "starter")
    parser.add_argument("--clipart", type=Path, default=Path("/usr/share/openclipart/png"))
    parser.add_argument("--backgrounds", type=Path, default=Path("/usr/share/backgrounds"))
    parser.add_argument("--emoji", type=Path, default=Path("package/img/google/64"))
    parser.add_argument("--teacher", default=TEACHER)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    if options.verb == "train":
        train(options)
    elif options.verb == "measure":
        measure(options)
    else:
        install(options.output_dir)


def train(options: argparse.Namespace) -> None:
    """Gather the pictures, train both steps, and convert; whatever is done stays done."""
    output = options.output_dir.resolve()
    output.mkdir(parents=True, exist_ok=True)
    folders = tuple(options.backgrounds / name for name in ("gnome", "mate"))
    places = Places(options.clipart, folders, options.emoji)
    print(gather(places, output / "pictures"), file=sys.stderr)
    changes = recipe(options, output / "pictures")
    for stage in ("step1", "student"):
        number = 1 if stage == "step1" else 2
        more = [] if number == 1 else [f"student.init_from={json.dumps(str(output / 'step1'))}"]
        recipe_path = config_path(f"fit/regression_step{number}.yaml")
        try:
            train_recipe(recipe_path, output / stage, overrides=[*changes[stage], *more])
        except TrainingStopped as stopped:
            sys.exit(f"{stopped} The same command resumes from there.")
    convert_run(output / "student", output / "starter.tflite")


def recipe(options: argparse.Namespace, pictures: Path) -> dict[str, list[str]]:
    """The changes to the recipes of `s2bnn fit`, by stage."""
    budget = BUDGETS[options.budget]
    shared = [
        f"data.source={json.dumps(f'folder:{pictures}')}",
        f"data.image_size={budget.image_size}",
        "data.batch_size=32",
        f"teacher.weights={json.dumps(options.teacher)}",
        "teacher.reduce_to=128",
        "teacher.cache=true",
        f"teacher.crops={budget.crops}",
        *options.overrides,
    ]
    return {
        stage: [f"steps={steps}", *shared]
        for stage, steps in zip(("step1", "student"), budget.steps)
    }


def measure(options: argparse.Namespace) -> None:
    """Measure each encoder on each set of pictures, and write the numbers down as they come."""
    output = options.output_dir.resolve()
    card = json.loads((output / "starter.json").read_text())
    found = json.loads(RESULTS.read_text())["results"] if RESULTS.exists() else {}
    if found.get("sha256") != card["sha256"]:
        found = {"sha256": card["sha256"], "size_bytes": card["size_bytes"], "knn": {}}
    found |= {"budget": options.budget, "processor": processor()}
    with tempfile.TemporaryDirectory() as temporary:
        cut_photographs(Path(temporary) / "photographs")
        sources = {
            "photographs": f"folder:{temporary}/photographs",
            "digits": "digits",
            "fashion_mnist": FASHION_MNIST,
        }
        for model in ("starter", "pixels_8x8", "untrained", "teacher"):
            for name, source in sources.items():
                row = found["knn"].setdefault(name, {})
                if model not in row:
                    row[model] = accuracy(*features_of(model, source, output, options.teacher))
                    write_results(RESULTS, found)
    print(json.dumps(found, indent=2))


def features_of(
    model: str, source: str, output: Path, teacher: str
) -> tuple[np.ndarray, np.ndarray]:
    """The features of the pictures of a source, of both splits, and their labels."""
    splits = [some_of(open_source(source, split), _MOST) for split in ("train", "test")]
    if model == "pixels_8x8":
        center_crop = open_model(output / "starter.tflite").center_crop
        found = pixel_features(*splits, 8, center_crop or 1.0)
        return np.concatenate(found[::2]), np.concatenate(found[1::2])
    paths = {"starter": output / "starter.tflite", "untrained": output / "untrained"}
    if model == "untrained" and not RunDirectory(paths[model]).weights_path.is_file():
        leave_untrained(RunDirectory(output / "student").config, paths[model])
    encoder = open_model(paths.get(model, teacher))
    parts = [extract_features(encoder, split) for split in splits]
    features, labels = (np.concatenate(part) for part in zip(*parts))
    return features, labels


def accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """The kNN accuracy of all pictures, each by the three quarters that it is not in."""
    fold = np.random.default_rng(0).permutation(len(labels)) % _FOLDS
    hits = 0.0
    for number in range(_FOLDS):
        asked = fold == number
        one = knn_accuracy(features[~asked], labels[~asked], features[asked], labels[asked])
        hits += one["top1"] * asked.sum()
    return round(hits / len(labels), 4)


def install(output: Path) -> None:
    """Copy the network and its card into the runtime's package, where `starter` names them.

    The card says nothing about this machine.
    """
    card = json.loads((output / "starter.json").read_text())
    if card["size_bytes"] > LARGEST:
        sys.exit(f"{card['size_bytes']:,} bytes are more than the {LARGEST:,} that ship.")
    results = json.loads(RESULTS.read_text())["results"]
    if results["sha256"] != card["sha256"]:
        sys.exit(f"{RESULTS} is about another network; measure this one first.")
    card["source"] = None  # nobody else has the folder
    card["starter"] = {**ORIGIN, "knn": results["knn"], "budget": results["budget"]}
    shutil.copyfile(output / "starter.tflite", SHIPPED)
    write_json(SHIPPED.with_suffix(".json"), card)


if __name__ == "__main__":
    main()
