"""A 1-bit student that names photographs by words as its teacher does, on the host and the device.

    pip install scikit-image mahotas torchvision
    apt-get download mate-backgrounds lomiri-wallpapers-16.04
    dpkg -x mate-backgrounds_*.deb mate
    dpkg -x lomiri-wallpapers-16.04_*.deb lomiri
    python benchmarks/words.py --output-dir words-run --steps 300 \
        --photographs mate/usr/share/backgrounds/mate/nature lomiri

The teacher is EfficientNet-Lite0 with its ImageNet weights. The rows of its last layer are vectors
of 1,000 names, so its space is one of pictures and words. `s2bnn words` makes them a file, and
`s2bnn fit --words` distills a student on crops of photographs: those that Python packages ship, and
each JPEG below the folders that --photographs names. Every fifth photograph is held out as a whole.
On its crops, the words that the student puts first are compared with the teacher's: by the student
in Keras, by its `.tflite`, and by s2bnn_runtime, as a device does. Half of the words are axes of
the objectives `both` and `words`, and the agreement on the other half shows whether the student has
learned the space or the list.

A row of unit length has lost its norm and its bias, so the teacher answers by cosines as well; how
often that is the answer of its logits is in the results, which go to benchmarks/results/words.json.
The same command resumes in the same --output-dir.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import importlib.util
import json
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fit import processor
from PIL import Image

from s2bnn_tf.demo_pictures import cut_photograph, cut_photographs

RESULTS = Path(__file__).parent / "results" / "words.json"
TEACHER = "efficientnet_lite0"
HELD_OUT = 5  # every fifth photograph
CROPS = 8  # of a picture whose targets are stored, with --steps
LARGEST = 1024  # pixels of a wallpaper, which has many more than the other photographs
SCALE = 20.0  # of cosines in a softmax; the teacher has none of its own
_REGRESSION = ("objective.regression_weight=1",)
_BY_WORDS = ("objective.words_weight=1",)
OBJECTIVES = {
    "regression": _REGRESSION,
    "both": (*_REGRESSION, *_BY_WORDS),
    "words": ("objective.regression_weight=0", *_BY_WORDS),
}


def class_names(count: int) -> list[str]:
    """The names of ImageNet's classes as torchvision, which is not run, has them."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise SystemExit("The names of the classes are torchvision's: pip install torchvision.")
    text = (Path(spec.origin).parent / "models" / "_meta.py").read_text()
    lists = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.List)]
    names = next(found for node in lists if len(found := ast.literal_eval(node)) == count)
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def cut(folders: list[Path], output: Path) -> None:
    """Cut all photographs into crops, those of the packages and those below the folders."""
    cut_photographs(output)
    rng = np.random.default_rng(1)
    found = sorted(path for folder in folders for path in folder.rglob("*.jpg"))
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.png"
        for path in found:
            with Image.open(path) as image:
                image.thumbnail((LARGEST, LARGEST))
                image.save(small)
            cut_photograph(small, output / f"wallpaper-{path.stem.lower()}", rng)


def write_pictures(folder: Path, more: list[Path]) -> dict[str, int]:
    """Crops of photographs, and `pictures.tsv` that lists them; the photographs of each split.

    No photograph is in both splits. The list names no classes, since those of one split are not
    in the other.
    """
    from s2bnn_tf.data import Listed, write_list

    crops = folder / "photographs"
    if not crops.exists():
        cut(more, folder / "unfinished")
        (folder / "unfinished").rename(crops)
    photographs = sorted(crops.iterdir())
    splits = {"train": photographs[:], "test": photographs[::HELD_OUT]}
    del splits["train"][::HELD_OUT]
    listed = [
        Listed(path, split=split)
        for split, folders in splits.items()
        for photograph in folders
        for path in sorted(photograph.iterdir())
    ]
    write_list(folder / "pictures.tsv", listed)
    return {split: len(folders) for split, folders in splits.items()}


def write_vectors(folder: Path) -> None:
    """The rows of the teacher's last layer: `words.npz`, and every second one as `axes.npz`."""
    from s2bnn_tf.runs import LinearProbe
    from s2bnn_tf.teachers import get_teacher, make_words

    probe = LinearProbe.load(get_teacher(TEACHER).eval_dir / "linear_probe.npz")
    rows, names = probe.kernel.T, np.array(class_names(probe.kernel.shape[1]))
    for name, chosen in (("words", slice(None)), ("axes", slice(0, None, 2))):
        vectors = folder / f"{name}_vectors.npz"
        np.savez(vectors, names=names[chosen], rows=rows[chosen], scale=np.float64(SCALE))
        make_words("-", folder / f"{name}.npz", vectors=vectors, teacher=TEACHER)


def teacher_answers(source: Any, size: Any) -> tuple[np.ndarray, float]:
    """The teacher's vectors of pictures, and how often its cosines name what its logits name."""
    from s2bnn_tf.config import Config, DataConfig
    from s2bnn_tf.evaluation import extract_features
    from s2bnn_tf.runs import LinearProbe, LoadedEncoder
    from s2bnn_tf.teachers import get_teacher, in_words, load_teacher

    network = load_teacher(in_words(TEACHER), image_size=size)
    encoder = LoadedEncoder(network, Config(data=DataConfig(image_size=size)), TEACHER)
    features, _ = extract_features(encoder, source)
    probe = LinearProbe.load(get_teacher(TEACHER).eval_dir / "linear_probe.npz")
    rows = probe.kernel / np.linalg.norm(probe.kernel, axis=0)
    same = (features @ rows).argmax(axis=1) == probe.logits(features).argmax(axis=1)
    return features, float(same.mean())


def on_device(model: Path, words: Path, files: list[Path]) -> tuple[np.ndarray, list[str]]:
    """What s2bnn_runtime computes: vectors, and the names by `s2bnn-run classify`."""
    from s2bnn_runtime.embedder import Embedder

    command = [sys.executable, "-m", "s2bnn_runtime", "classify", model, words, *files]
    command += ["--threshold", "-1", "--json"]
    printed = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in printed.stdout.splitlines() if line.startswith("{")]
    found = {row["path"]: row["class"] for row in rows}
    return Embedder(model)(files), [found[str(file)] for file in files]


def measure(run: Path, folder: Path) -> dict[str, Any]:
    """The agreement of a student with the teacher: on all words, and on those that were no axes."""
    from s2bnn_tf.data import open_source
    from s2bnn_tf.evaluation import extract_features, readable, word_agreement
    from s2bnn_tf.runs import open_encoder
    from s2bnn_tf.teachers import read_words

    words, _, _ = read_words(run / "words.npz")
    source = open_source(f"list:{folder / 'pictures.tsv'}", "test")
    student = open_encoder(run / "student")
    ours = {"student": extract_features(student, source, output="embedding")[0]}
    ours["tflite"] = extract_features(open_encoder(run / "student.tflite"), source)[0]
    teacher, same = teacher_answers(source, student.image_size)
    files = [Path(readable(source).identify(number)) for number in range(len(teacher))]
    ours["device"], named = on_device(run / "student.tflite", run / "words.npz", files)
    result: dict[str, Any] = {"teacher_cosine_is_logits": same, "pictures": len(teacher)}
    for name, vectors in ours.items():
        kept = ("top1", "top5")
        every = word_agreement(vectors, teacher, words.rows, words.names)
        others = word_agreement(vectors, teacher, words.rows[1::2], words.names[1::2])
        result[name] = {key: every[key] for key in kept}
        result[name] |= {f"{key}_words_that_were_no_axes": others[key] for key in kept}
    theirs = np.array(words.names)[(teacher @ words.rows.T).argmax(axis=1)]
    result["device"]["top1_by_classify"] = float((np.array(named) == theirs).mean())
    return result


def distill(name: str, folder: Path, options: argparse.Namespace) -> Path:
    """Fit the student of an objective; return the directory of the fit."""
    from s2bnn_tf.pipeline import Options, run_fit
    from s2bnn_tf.progress import show_progress

    words, axes = folder / "words.npz", folder / "axes.npz"
    changes = OBJECTIVES[name]
    changes += (f"objective.words={axes}",) if name != "regression" else ()
    if options.steps:
        changes += (f"steps={options.steps}", "teacher.cache=true", f"teacher.crops={CROPS}")
    asked = Options(
        options.minutes,
        TEACHER,
        options.size,
        None,
        changes,
        target=f"linux-{platform.machine()}",  # for which the runtime need not be built again
        words=str(words),
    )
    pictures, run = f"list:{folder / 'pictures.tsv'}", folder / name
    run_fit(pictures, run, asked, timed=options.steps is None, progress=show_progress)
    return run


def main() -> None:
    """Distill and measure one student for each objective."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", nargs="*", type=Path, default=[], metavar="FOLDER")
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=["regression"])
    parser.add_argument("--minutes", type=float, default=20.0, help="for each objective")
    parser.add_argument("--steps", type=int, help="of each stage, instead of --minutes")
    parser.add_argument("--size", choices=["small", "medium", "large"])
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = options.output_dir.resolve()
    photographs = write_pictures(folder, options.photographs)
    write_vectors(folder)
    found: dict[str, Any] = {}
    for name in options.objectives:
        run = distill(name, folder, options)
        found[name] = measure(run, folder)
        found[name]["plan"] = json.loads((run / "fit.json").read_text())["plan"]
        print(json.dumps({name: found[name]}, indent=2), flush=True)
        used = resource.getrusage(resource.RUSAGE_SELF)
        record = {
            "command": " ".join(["python", "benchmarks/words.py", *sys.argv[1:]]),
            "date": datetime.date.today().isoformat(),
            "processor": processor(),
            "processor_minutes": round((used.ru_utime + used.ru_stime) / 60, 1),
            "photographs": photographs,
            "objectives": found,
        }
        options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
