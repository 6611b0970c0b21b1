"""Write one file of every kind that later versions must open, small enough to be committed.

    python tests/compat/make.py OUTPUT_DIR --runtime-wheel FILE

Everything is made by the commands of the installed version, as a user would make it: a packed
folder of images, a teacher and a student trained on it for a minute, the student's evaluations,
its `.tflite` with the card, a bundle, and the classes that `s2bnn-run` enrolled. To add the files
of another version, run that version's commands: set PYTHONPATH to its tree.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

IMAGES = {"train": 12, "test": 6}  # per class, of three classes
CLASSES = ("zero", "one", "two")
STUDENT = "contrastive_distillation_one_step"
TEACHER = "teacher"
COMMON = (
    "data.source=tfrecord:pack",
    "data.batch_size=6",
    "epochs=20",
    "student.embedding_dim=8",
    "objective.queue_size=24",
    "monitor.knn_every=20",
    "monitor.checkpoints_kept=1",
)
TEACHER_ONLY = ("student.width=0.03125",)
STUDENT_ONLY = ("student.width=0.03125", "teacher.weights=teacher")


def main() -> None:
    """Make all files below the output directory."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path, help="the directory to create")
    parser.add_argument("--runtime-wheel", type=Path, required=True, help="for linux-x86_64")
    options = parser.parse_args()
    options.output.mkdir(parents=True)
    wheel = options.runtime_wheel.resolve()
    recipes = Path(__file__).resolve().parents[2] / "configs" / "digits"
    os.chdir(options.output)

    write_images(Path("photos"))
    s2bnn("data", "pack", "folder:photos", "pack")
    train(recipes / f"{TEACHER}.yaml", "teacher", *TEACHER_ONLY)
    train(recipes / f"{STUDENT}.yaml", "student", *STUDENT_ONLY)
    for measure in (["knn"], ["linear"], ["calibration"], ["low-label", "--labels", "4"]):
        s2bnn("eval", measure[0], "student", *measure[1:])
    s2bnn("eval", "finetune", "student", "--epochs", "1", "--batch-size", "12")
    s2bnn("convert", "student", "student.tflite")
    s2bnn("convert", "student", "classifier.tflite", "--head", "linear")
    s2bnn("eval", "knn", "student.tflite")
    bundle = ["bundle", "student", "bundle", "--target", "linux-x86_64"]
    s2bnn(*bundle, "--runtime-wheel", str(wheel))
    for name in CLASSES[:2]:
        pictures = sorted(map(str, Path("photos/train", name).iterdir()))[:4]
        run("s2bnn_runtime", "enroll", "student.tflite", "prototypes.npz", name, *pictures)
    make_small()
    command = ["classify", "student.tflite", "prototypes.npz", "photos/test", "--json"]
    found = [json.loads(line) for line in run("s2bnn_runtime", *command).splitlines()]
    Path("prototypes.json").write_text(json.dumps({"images": found}))


def write_images(folder: Path) -> None:
    """Write scikit-learn's digits as a folder of PNG files, sorted into splits and classes."""
    digits = load_digits()
    for label, name in enumerate(CLASSES):
        images = iter(digits.images[digits.target == label])
        for split, count in IMAGES.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = (next(images) * (255 / 16)).astype("uint8")
                image = Image.fromarray(pixels).resize((32, 32)).convert("RGB")
                image.save(folder / split / name / f"{number}.png")


def train(recipe: Path, output: str, *settings: str) -> None:
    """Train a recipe with small settings."""
    pairs = [part for setting in (*COMMON, *settings) for part in ("--set", setting)]
    s2bnn("train", str(recipe), "--output-dir", output, *pairs)


def s2bnn(*arguments: str) -> None:
    """Run one command of s2bnn."""
    run("s2bnn_tf", *arguments)


def run(package: str, *arguments: str) -> str:
    """Run one command, stop if it fails, and return what it printed."""
    print(f"$ {package} {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", package, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def make_small() -> None:
    """Delete what is large and is made again: caches, pages, wheels, the teacher's checkpoints."""
    folders = ("*/tensorboard", "*/eval/features", "*.eval/features", "teacher/checkpoints")
    for folder in (*(found for name in folders for found in Path().glob(name)), "photos/train"):
        shutil.rmtree(folder)
    files = ("*/report.html", "student/eval/*.svg", "bundle/**/*.whl", "photos/test/*/[1-9].png")
    for file in (found for name in files for found in Path().glob(name)):
        file.unlink()


if __name__ == "__main__":
    main()
