"""The verbs `s2bnn-run enroll|classify|search|forget`: classes of one's own, without training."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_runtime.files import open_model
from s2bnn_runtime.images import KEPT_BY_CENTER_CROP, Preprocessing, load_image, picture_files
from s2bnn_runtime.prototypes import PrototypeClassifier

VERBS = ("enroll", "classify", "search", "forget")


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Adds the verbs, each with an example, to the parser of `s2bnn-run VERB`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    example = "example: s2bnn-run enroll encoder.tflite pets.npz cat cat1.jpg cat2.jpg"
    enroll = verbs.add_parser("enroll", help="add examples of a class", epilog=example)
    _add(enroll, "model", "classes")
    enroll.add_argument("name", help="of the class, new or known")
    _add(enroll, "images")
    example = "example: s2bnn-run classify encoder.tflite pets.npz new.jpg --threshold 0.8"
    classify = verbs.add_parser("classify", help="name the nearest class of each image", epilog=example)
    _add(classify, "model", "classes", "images")
    classify.add_argument("--threshold", type=float, help="reject what is less similar than this cosine")
    example = "example: s2bnn-run search encoder.tflite query.jpg photos/"
    search = verbs.add_parser("search", help="the images most similar to one", epilog=example)
    _add(search, "model")
    search.add_argument("query", type=Path, help="the picture to search by")
    _add(search, "images")
    search.add_argument("--top-k", type=int, default=5, metavar="K", help="how many to show (default 5)")
    forget = verbs.add_parser("forget", help="remove a class", epilog="example: s2bnn-run forget pets.npz cat")
    _add(forget, "classes")
    forget.add_argument("name", help="of the class")
    for verb in (enroll, classify, search, forget):
        verb.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run_verb(options: argparse.Namespace) -> str:
    """Does what the verb says, and returns what is to be printed.

    Raises:
        OSError, ValueError, KeyError, ImportError: a user's mistake, told by its message.
    """
    verbs = {"enroll": _enroll, "classify": _classify, "search": _search, "forget": _forget}
    result, text = verbs[options.verb](options)
    return json.dumps(result) if options.json else text


class Embedder:
    """An encoder's `.tflite` on picture files; the JSON card beside it, if there is one, tells the crop."""

    def __init__(self, model: Path) -> None:
        self.interpreter = open_model(model)
        details = self.interpreter.input_details
        if len(details) != 1 or len(details[0]["shape"]) != 4 or details[0]["shape"][3] != 3:
            raise ValueError(f"{model} does not take one RGB image")
        self.detail = details[0]
        card = model.with_suffix(".json")
        self.kept = _kept_by(card) if card.is_file() else KEPT_BY_CENTER_CROP

    def __call__(self, paths: Iterable[Path]) -> np.ndarray:
        """Embeddings (N, D) of N picture files."""
        pictures = (load_image(path, self.detail, Preprocessing.RAW, kept=self.kept) for path in paths)
        return np.concatenate([np.asarray(self.interpreter.predict(picture)) for picture in pictures])


def _kept_by(card: Path) -> float:
    try:
        return float(json.loads(card.read_text("utf-8")).get("center_crop", KEPT_BY_CENTER_CROP))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{card} is not a model's card; take it away, or write the model anew") from error


def _add(parser: argparse.ArgumentParser, *names: str) -> None:
    about = {"model": "an encoder's .tflite", "classes": "the .npz that holds the classes"}
    for name in names:
        if name == "images":
            parser.add_argument("images", type=Path, nargs="+", help="pictures, or folders of them")
        else:
            parser.add_argument(name, type=Path, help=about[name])


def _enroll(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    classifier = PrototypeClassifier.load(options.classes) if options.classes.exists() else PrototypeClassifier()
    classifier.enroll(options.name, Embedder(options.model)(picture_files(options.images)))
    classifier.save(options.classes)
    counts = ", ".join(f"{name} {count}" for name, count in classifier.counts.items())
    return {"classes": classifier.counts}, f"{options.classes}: {counts}"


def _classify(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    classifier = PrototypeClassifier.load(options.classes)
    if options.threshold is not None:
        classifier.threshold = options.threshold
    paths = picture_files(options.images)
    predictions = classifier.predict(Embedder(options.model)(paths))
    rows = [{"path": str(path), "class": p.name, "score": p.score} for path, p in zip(paths, predictions)]
    lines = [f"{p.score:7.4f}  {p.name or 'none of them'}  {path}" for path, p in zip(paths, predictions)]
    return {"images": rows}, "\n".join(lines)


def _search(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    paths, embed = picture_files(options.images), Embedder(options.model)
    vectors = embed([options.query, *paths])
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    scores = vectors[1:] @ vectors[0]
    best = np.argsort(-scores, kind="stable")[: options.top_k]
    rows = [{"path": str(paths[i]), "score": float(scores[i])} for i in best]
    return {"query": str(options.query), "found": rows}, "\n".join(f"{r['score']:7.4f}  {r['path']}" for r in rows)


def _forget(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    classifier = PrototypeClassifier.load(options.classes)
    classifier.forget(options.name)
    classifier.save(options.classes)
    return {"classes": classifier.counts}, f"{options.classes}: {', '.join(classifier.counts) or 'no class'}"
