r"""What a published teacher with its real weights gives a 1-bit student of real photographs.

    pip install scikit-image mahotas
    apt-get download mate-backgrounds && dpkg -x mate-backgrounds_*.deb wallpapers
    python benchmarks/published_teacher.py --minutes 20 \
        --photographs wallpapers/usr/share/backgrounds/mate/nature

The pictures are 24 crops of each photograph that scikit-image, scikit-learn, Matplotlib and mahotas
ship, and of each JPEG below the folders that --photographs names. The label of a crop is its
photograph, which only measures. `s2bnn fit` makes one student with the teacher efficientnet_lite0
and one with the folder's own teacher, in the same time each. Beside them are the teacher at the
size that it has in `fit` and at 224 pixels, raw pixels, and the untrained student. The numbers go
to benchmarks/results/published_teacher.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fit import processor
from PIL import Image

from s2bnn_tf.demo_pictures import cut_photograph, cut_photographs

RESULTS = Path(__file__).parent / "results" / "published_teacher.json"
TEACHER = "efficientnet_lite0"
_LARGEST = 1024  # pixels of a wallpaper, which has many more than the other photographs


def cut(folders: list[Path], output: Path) -> int:
    """Cut all photographs; return their number."""
    cut_photographs(output)
    rng = np.random.default_rng(1)
    found = sorted(path for folder in folders for path in folder.rglob("*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.png"
        for path in found:
            with Image.open(path) as image:
                image.thumbnail((_LARGEST, _LARGEST))
                image.save(small)
            cut_photograph(small, output / f"wallpaper-{path.stem.lower()}", rng)
    return len(list(output.iterdir()))


def fit(pictures: Path, output: Path, options: argparse.Namespace, *more: str) -> dict[str, Any]:
    """Run `s2bnn fit`, and return what it measured."""
    command = [sys.executable, "-m", "s2bnn_tf", "fit", str(pictures), "--json"]
    command += ["--minutes", f"{options.minutes:g}", "--output-dir", str(output), *more]
    command += ["--size", options.size] if options.size else []
    command += [word for change in options.overrides for word in ("--set", change)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: found[name] for name in ("minutes", "knn", "linear", "neighbors_kept", "plan")}


def teacher_at_its_size(student: Path, temporary: Path) -> dict[str, float]:
    """The teacher's own accuracies at 224 pixels, on the pictures that measure the student."""
    from s2bnn_tf.evaluation import evaluate_knn, evaluate_linear
    from s2bnn_tf.runs import RunDirectory
    from s2bnn_tf.teachers import get_teacher

    # A copy, since results are written beside a run.
    run = Path(shutil.copytree(get_teacher(TEACHER).path, temporary / "teacher"))
    data = RunDirectory(student).config.data.source
    return {
        "knn": evaluate_knn(run, data)["top1"],
        "linear": evaluate_linear(run, data)["top1"],
    }


def main() -> None:
    """Fit twice, and write the numbers down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", nargs="*", type=Path, default=[], metavar="FOLDER")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--size", choices=["small", "medium", "large"])
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        photographs = cut(options.photographs, temporary / "crops")
        published = fit(temporary / "crops", temporary / "published", options, "--teacher", TEACHER)
        own = fit(temporary / "crops", temporary / "own", options)
        row = {
            "command": "python benchmarks/published_teacher.py " + " ".join(sys.argv[1:]),
            "date": datetime.date.today().isoformat(),
            "processor": processor(),
            "photographs": photographs,
            "teacher_at_224": teacher_at_its_size(temporary / "published" / "student", temporary),
            TEACHER: published,
            "own_teacher": own,
        }
    print(json.dumps(row, indent=2))
    RESULTS.write_text(json.dumps(row, indent=2) + "\n")


if __name__ == "__main__":
    main()
