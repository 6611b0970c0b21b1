"""A 1-bit student that names photographs by words as its teacher does, on the host and the device.

    pip install scikit-image mahotas torchvision
    python benchmarks/words.py --minutes 20 [--objectives regression both words] [--steps N]

The teacher is EfficientNet-Lite0 with its ImageNet weights. The rows of its last layer are vectors
of 1,000 names, so its space is one of pictures and words. `s2bnn words` makes them a file, and
`s2bnn fit --words` distills a student on crops of photographs. Every fifth photograph is held out
as a whole. On its crops, the words that the student puts first are compared with the teacher's: by
the student in Keras, by its `.tflite`, and by s2bnn_runtime, as a device does. Half of the words
are axes of the objectives `both` and `words`, and the agreement on the other half shows whether the
student has learned the space or the list.

A row of unit length has lost its norm and its bias, so the teacher answers by cosines as well; how
often that is the answer of its logits is in the results, which go to
benchmarks/results/words.json.
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

from s2bnn_tf.demo_pictures import cut_photographs

RESULTS = Path(__file__).parent / "results" / "words.json"
TEACHER = "efficientnet_lite0"
HELD_OUT = 5  # every fifth photograph
SCALE = 20.0  # of cosines in a softmax; the teacher has none of its own
_REGRESSION = ("objective.regression_weight=1",)
_BY_WORDS = ("objective.words_weight=1",)
OBJECTIVES = {
    "regression": _REGRESSION,
    "both": (*_REGRESSION, *_BY_WORDS),
    "words": ("objective.regression_weight=0", *_BY_WORDS),
}


def class_names(count: int) -> list[str]:
    """The names of ImageNet's classes where torchvision is installed, and numbers otherwise."""
    try:
        from torchvision.models._meta import _IMAGENET_CATEGORIES as names
    except ImportError:
        return [f"class {number}" for number in range(count)]
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def write_pictures(folder: Path, crops: int) -> None:
    """Crops of photographs in `train` and `test`, no photograph in both."""
    cut_photographs(folder / "all", crops=crops)
    for number, photograph in enumerate(sorted((folder / "all").iterdir())):
        split = "test" if number % HELD_OUT == 0 else "train"
        (folder / "photographs" / split).mkdir(parents=True, exist_ok=True)
        shutil.move(str(photograph), folder / "photographs" / split / photograph.name)


def write_vectors(folder: Path) -> tuple[Path, Path]:
    """The rows of the teacher's last layer: all names, and every second one as axes."""
    from s2bnn_tf.runs import LinearProbe
    from s2bnn_tf.teachers import get_teacher, make_words

    probe = LinearProbe.load(get_teacher(TEACHER).eval_dir / "linear_probe.npz")
    rows, names = probe.kernel.T, np.array(class_names(probe.kernel.shape[1]))
    made = []
    for name, chosen in (("words", slice(None)), ("axes", slice(0, None, 2))):
        vectors = folder / f"{name}_vectors.npz"
        np.savez(vectors, names=names[chosen], rows=rows[chosen], scale=np.float64(SCALE))
        make_words("-", folder / f"{name}.npz", vectors=vectors, teacher=TEACHER)
        made.append(folder / f"{name}.npz")
    return made[0], made[1]


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


def on_device(model: Path, words: Path, pictures: Path) -> tuple[np.ndarray, list[str], list[str]]:
    """What s2bnn_runtime computes: vectors, the names by `s2bnn-run classify`, and the paths."""
    from s2bnn_runtime.embedder import Embedder
    from s2bnn_runtime.images import picture_files

    files = picture_files([pictures])
    command = [sys.executable, "-m", "s2bnn_runtime", "classify", model, words, pictures]
    command += ["--threshold", "-1", "--json"]
    printed = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in printed.stdout.splitlines() if line.startswith("{")]
    found = {row["path"]: row["class"] for row in rows}
    return Embedder(model)(files), [found[str(file)] for file in files], [str(f) for f in files]


def measure(run: Path, folder: Path) -> dict[str, Any]:
    """The agreement of a student with the teacher: on all words, and on those that were no axes."""
    from s2bnn_tf.data import open_source
    from s2bnn_tf.evaluation import extract_features, readable, word_agreement
    from s2bnn_tf.runs import open_encoder
    from s2bnn_tf.teachers import read_words

    words, _, _ = read_words(run / "words.npz")
    source = open_source(str(folder / "photographs"), "test")
    student = open_encoder(run / "student")
    ours = {"student": extract_features(student, source, output="embedding")[0]}
    ours["tflite"] = extract_features(open_encoder(run / "student.tflite"), source)[0]
    teacher, same = teacher_answers(source, student.image_size)
    paths = [str(readable(source).identify(number)) for number in range(len(teacher))]
    device, named, files = on_device(
        run / "student.tflite", run / "words.npz", folder / "photographs" / "test"
    )
    order = [files.index(path) for path in paths]
    ours["device"] = device[order]
    result: dict[str, Any] = {"teacher_cosine_is_logits": same, "pictures": len(teacher)}
    for name, vectors in ours.items():
        kept = ("top1", "top5")
        every = word_agreement(vectors, teacher, words.rows, words.names)
        others = word_agreement(vectors, teacher, words.rows[1::2], words.names[1::2])
        result[name] = {key: every[key] for key in kept}
        result[name] |= {f"{key}_words_that_were_no_axes": others[key] for key in kept}
    theirs = [words.names[n] for n in (teacher @ words.rows.T).argmax(axis=1)]
    said = np.array([named[number] for number in order])
    result["device"]["top1_by_classify"] = float((said == np.array(theirs)).mean())
    return result


def main() -> None:
    """Distill and measure one student for each objective."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=["regression"])
    parser.add_argument("--steps", type=int, help="instead of as many as the minutes allow")
    parser.add_argument("--crops", type=int, default=24, help="of each photograph")
    parser.add_argument("--size", choices=["small", "medium", "large"])
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    from s2bnn_tf.pipeline import Options, run_fit
    from s2bnn_tf.progress import show_progress

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_pictures(folder, options.crops)
        words, axes = write_vectors(folder)
        for name in options.objectives:
            changes = OBJECTIVES[name]
            changes += (f"objective.words={axes}",) if name != "regression" else ()
            changes += (f"steps={options.steps}",) if options.steps else ()
            asked = Options(options.minutes, TEACHER, options.size, None, changes, words=str(words))
            run = folder / name
            run_fit(
                str(folder / "photographs"),
                run,
                asked,
                timed=options.steps is None,
                progress=show_progress,
            )
            found[name] = measure(run, folder)
            print(json.dumps({name: found[name]}, indent=2))
    record = {
        "command": " ".join(["python", "benchmarks/words.py", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "machine": processor(),
        "objectives": found,
    }
    options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
