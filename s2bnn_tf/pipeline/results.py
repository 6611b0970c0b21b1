"""The numbers of a fit: the student beside its teacher, raw pixels and chance."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from s2bnn_tf.data import ImageSource, open_source
from s2bnn_tf.errors import DataError
from s2bnn_tf.evaluation import (
    MAX_ITERATIONS,
    FeatureCache,
    ImageEncoder,
    effective_rank,
    evaluate_knn,
    evaluate_linear,
    extract_features,
    fit_linear_probe,
    knn_accuracy,
    make_gallery,
    readable,
    results_dir,
    some_of,
)
from s2bnn_tf.files import write_json
from s2bnn_tf.pipeline.beginning import begins_with_starter
from s2bnn_tf.pipeline.choices import MANY
from s2bnn_tf.pipeline.measure import (
    MOST_MEASURED,
    PIXELS,
    FloatArray,
    IntArray,
    neighbors_kept,
    pixel_features,
)
from s2bnn_tf.pipeline.plan import Plan
from s2bnn_tf.progress import Progress
from s2bnn_tf.reading import Object, read_json
from s2bnn_tf.runs import LoadedEncoder, open_encoder
from s2bnn_tf.teachers import (
    features_of_pictures,
    find_starter,
    is_feature_file,
    load_teacher,
    open_model,
    read_features,
)
from s2bnn_tf.training import return_memory

# The linear probe of the pixels of more than so many pictures ends after so many iterations: with
# 1,000, it took longer than to train the student, and 10,000 pictures of Fashion-MNIST had 83.9 %
# instead of 83.8 %.
_MANY, _ENOUGH = 1_000, 100
Extract: TypeAlias = "Callable[[ImageSource], tuple[FloatArray, IntArray]]"
MODELS = ("student", "teacher", "untrained", "tflite")
_SHOWN = ("student", "teacher")  # with pictures, in the report
METRICS = ("knn", "linear")


def measure(plan: Plan, output_dir: Path, progress: Progress) -> dict[str, Any]:
    """Measure everything and write `results.json`, unless that is done.

    Of more pictures than MOST_MEASURED, some are drawn, always the same ones.

    Args:
        plan: The plan.
        output_dir: The directory of the runs and of `student.tflite`.
        progress: Called at the start of each step.

    Returns:
        `knn` and `linear`: accuracies 0 to 1 by model, None where there are no labels; `starter`
        is among them if the student began as it and there are few pictures, with labels;
        `neighbors_kept`: shares by `top1` and `top5`, None if nothing is held out; `rank`: the
        effective rank of the features of student and teacher.
    """
    with contextlib.suppress(FileNotFoundError):
        fields = {"knn": Object(), "linear": Object(), "rank": Object()}
        return read_json(output_dir / "results.json", fields, cure="remove it")
    train = some_of(open_source(plan.look.source, "train"), MOST_MEASURED)
    test = open_source(plan.look.source, "test") if plan.look.test else None
    test = test and some_of(test, MOST_MEASURED)
    opened: dict[str, ImageEncoder] = {
        name: open_encoder(output_dir / name)
        for name in ("teacher", "student")
        if name in plan.recipes
    }
    features = _features(plan, output_dir, train, test, opened)
    kept = None
    if test is not None:
        progress("Comparing the neighbors that student and teacher find")
        kept = neighbors_kept(*((f["train"][0], f["test"][0]) for f in features.values()))
        if not can_be_measured(train, test):
            _show_without_labels(output_dir, train, test, features, opened["student"])
    others = {"teacher": features["teacher"]} if "teacher" not in plan.recipes else {}
    if test is not None and can_be_measured(train, test) and _begins_with_starter(plan):
        progress("Encoding the pictures with the starter")
        encoder = open_model(find_starter())
        others["starter"] = {
            split: extract_features(encoder, source)
            for split, source in (("train", train), ("test", test))
        }
    scores = _scores(plan, output_dir, train, test, opened, others, progress)
    results = {
        **{metric: {name: found[metric] for name, found in scores.items()} for metric in METRICS},
        "neighbors_kept": kept,
        "rank": {name: effective_rank(found["train"][0]) for name, found in features.items()},
    }
    write_json(output_dir / "results.json", results)
    return results


def _begins_with_starter(plan: Plan) -> bool:
    """Whether the starter is what to beat, and there are few enough pictures to encode with it."""
    return plan.look.train < MANY and begins_with_starter(plan.config(plan.first))


def _show_without_labels(
    output_dir: Path,
    train: ImageSource,
    test: ImageSource,
    features: dict[str, dict[str, Any]],
    student: ImageEncoder,
) -> None:
    """Keep pictures of what the student finds alike, which `evaluate_knn` does with labels."""
    found = features["student"]
    outputs = found["train"][0], found["test"][0]
    gallery = make_gallery(readable(train), readable(test), *outputs, student)
    gallery.save(results_dir(output_dir / "student") / "gallery.npz")


def _features(
    plan: Plan,
    output_dir: Path,
    train: ImageSource,
    test: ImageSource | None,
    opened: dict[str, ImageEncoder],
) -> dict[str, dict[str, Any]]:
    """Features and labels of both splits, by the teacher and by the student."""
    splits = {"train": train} | ({"test": test} if test is not None else {})
    ways = {name: _kept(output_dir / name, encoder) for name, encoder in opened.items()}
    ways = {"teacher": ways.get("teacher") or _given_teacher(plan), "student": ways["student"]}
    return {
        name: {split: extract(source) for split, source in splits.items()}
        for name, extract in ways.items()
    }


def _kept(run: Path, encoder: ImageEncoder) -> Extract:
    """Features by a run of ours, which later measures find again."""
    cache = FeatureCache(run)
    return lambda source: cache.extract(encoder, source)


def _given_teacher(plan: Plan) -> Extract:
    """Features by a teacher that was given, to whose directory nothing is written."""
    config = plan.config("student")
    assert config.teacher is not None
    data, weights = config.data, config.teacher.weights
    if is_feature_file(weights):
        rows = read_features(str(weights), "features")
        return lambda source: (features_of_pictures(rows, source), _labels(source))
    network = load_teacher(config.teacher, image_size=data.image_size, channels=data.channels)
    encoder = LoadedEncoder(network, config, "teacher")
    return lambda source: extract_features(encoder, source)


def _labels(source: ImageSource) -> IntArray:
    return np.full(len(source), -1) if source.labels is None else source.labels


def _scores(
    plan: Plan,
    output_dir: Path,
    train: ImageSource,
    test: ImageSource | None,
    opened: dict[str, ImageEncoder],
    others: dict[str, dict[str, Any]],
    progress: Progress,
) -> dict[str, dict[str, float | None]]:
    """The accuracy of every model, of the features of others, and of raw pixels, by METRICS."""
    models = [name for name in MODELS if name not in others]
    names = (*models, *others, *(f"pixels_{side}x{side}" for side in PIXELS))
    if test is None or not can_be_measured(train, test):
        return {name: dict.fromkeys(METRICS) for name in names}
    found: dict[str, dict[str, float | None]] = {}
    for name in models:
        progress(f"Measuring kNN and a linear probe: {name}")
        path = output_dir / ("student.tflite" if name == "tflite" else name)
        encoder = opened.get(name) or open_model(path)
        shared: dict[str, Any] = {"encoder": encoder, "most": MOST_MEASURED}
        found[name] = {
            "knn": evaluate_knn(path, gallery=name in _SHOWN, **shared)["top1"],
            "linear": evaluate_linear(path, **shared)["top1"],
        }
        return_memory()
    for name, features in others.items():
        progress(f"Measuring kNN and a linear probe: {name}")
        found[name] = _score(features["train"], features["test"], train.class_names)
        return_memory()
    data = plan.config("student").data
    for side in PIXELS:
        progress(f"Measuring kNN and a linear probe: raw pixels, {side}x{side}")
        pixels = pixel_features(train, test, side, data.center_crop, data.shape)
        most = _ENOUGH if len(pixels[0]) > _MANY else MAX_ITERATIONS
        found[f"pixels_{side}x{side}"] = _score(
            pixels[:2], pixels[2:], train.class_names, max_iterations=most
        )
        return_memory()
    return found


def can_be_measured(train: ImageSource, test: ImageSource) -> bool:
    """Whether both splits have labels of at least two classes."""
    return all(
        source.labels is not None and len(np.unique(source.labels[source.labels >= 0])) > 1
        for source in (train, test)
    )


def _score(
    train: tuple[FloatArray, IntArray],
    test: tuple[FloatArray, IntArray],
    names: tuple[str, ...],
    max_iterations: int = MAX_ITERATIONS,
) -> dict[str, float | None]:
    """The accuracy of features by METRICS; no linear probe where a class has too few pictures."""
    bank, labels = train[0][train[1] >= 0], train[1][train[1] >= 0]
    queries, wanted = test[0][test[1] >= 0], test[1][test[1] >= 0]
    knn, linear = float(knn_accuracy(bank, labels, queries, wanted)["top1"]), None
    with contextlib.suppress(DataError):
        probe = fit_linear_probe(
            bank, labels, queries, wanted, class_names=names, max_iterations=max_iterations
        )
        linear = float(probe.metrics["top1"])
    return {"knn": knn, "linear": linear}
