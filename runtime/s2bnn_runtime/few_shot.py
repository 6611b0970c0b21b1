"""The verbs `s2bnn-run enroll|classify|search|forget`: your own classes, without training."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.errors import PictureError, S2bnnError, one_line
from s2bnn_runtime.files import open_model
from s2bnn_runtime.images import (
    KEPT_BY_CENTER_CROP,
    Preprocessing,
    load_image,
    picture_files,
    takes_a_picture,
)
from s2bnn_runtime.prototypes import PrototypeClassifier
from s2bnn_runtime.reading import read_json

VERBS = ("enroll", "classify", "search", "forget")


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Add the verbs, each with an example, to the parser of `s2bnn-run VERB`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    example = "example: s2bnn-run enroll encoder.tflite pets.npz cat cat1.jpg cat2.jpg"
    enroll = verbs.add_parser("enroll", help="add examples of a class", epilog=example)
    _add(enroll, "model", "classes")
    enroll.add_argument("name", help="the name of a new or known class")
    _add(enroll, "images")
    example = "example: s2bnn-run classify encoder.tflite pets.npz new.jpg --threshold 0.8"
    classify = verbs.add_parser(
        "classify", help="name the nearest class of each image", epilog=example
    )
    _add(classify, "model", "classes", "images")
    classify.add_argument(
        "--threshold", type=float, help="reject images that are less similar than this cosine"
    )
    example = "example: s2bnn-run search encoder.tflite query.jpg photos/"
    search = verbs.add_parser(
        "search", help="find the other images most similar to one image", epilog=example
    )
    _add(search, "model")
    search.add_argument("query", type=Path, help="the picture to search for")
    _add(search, "images")
    search.add_argument(
        "--top-k", type=int, default=5, metavar="K", help="how many to show (default: 5)"
    )
    example = "example: s2bnn-run forget pets.npz cat"
    forget = verbs.add_parser("forget", help="remove a class", epilog=example)
    _add(forget, "classes")
    forget.add_argument("name", help="the name of the class")
    for verb in (enroll, classify, search, forget):
        verb.add_argument("--json", action="store_true", help="print one JSON object, not text")


def run_verb(options: argparse.Namespace) -> tuple[str, list[str]]:
    """Run a verb.

    Returns:
        The text to print, and a sentence about each picture that could not be read.

    Raises:
        S2bnnError: If the user made a mistake.
    """
    verbs = {"enroll": _enroll, "classify": _classify, "search": _search, "forget": _forget}
    result, text, errors = verbs[options.verb](options)
    return (json.dumps(result) if options.json else text), errors


class Embedder:
    """An encoder's `.tflite` applied to picture files.

    If there is a JSON card beside the model, it defines the crop.

    Args:
        model: The `.tflite`.
        threads: The number of threads for one prediction.

    Raises:
        S2bnnError: If the model or its card cannot be used.
    """

    def __init__(self, model: Path, threads: int = 1) -> None:
        self.model = model
        self.interpreter = open_model(model, threads)
        details = self.interpreter.input_details
        if not takes_a_picture(details):
            raise S2bnnError(f"{model} does not take one RGB or gray image")
        self.detail = details[0]
        card = model.with_suffix(".json")
        self.kept = _kept_by(card) if card.is_file() else KEPT_BY_CENTER_CROP

    def __call__(self, paths: Iterable[Path]) -> NDArray[Any]:
        """The embeddings (N, D) of N picture files.

        Raises:
            PictureError: If one of them cannot be read.
        """
        return np.concatenate([self._embed(path) for path in paths])

    def readable(self, paths: Iterable[Path]) -> tuple[list[Path], NDArray[Any], list[str]]:
        """Embed the pictures that can be read.

        Returns:
            Their paths, their embeddings (N, D), and a sentence about each of the others.

        Raises:
            S2bnnError: If none of them can be read.
        """
        read, embeddings, errors = [], [], []
        for path in paths:
            try:
                embeddings.append(self._embed(path))
                read.append(path)
            except PictureError as error:
                errors.append(str(error))
        if not read:
            raise S2bnnError("; ".join(errors[:3]))
        return read, np.concatenate(embeddings), errors

    def _embed(self, path: Path) -> NDArray[Any]:
        picture = load_image(path, self.detail, Preprocessing.RAW, kept=self.kept)
        embedding = self.interpreter.predict(picture)
        if isinstance(embedding, list) or embedding.ndim != 2:
            raise S2bnnError(f"{self.model} does not return one vector per image")
        return embedding


def _kept_by(card: Path) -> float:
    try:
        kept = read_json(card).get("center_crop", KEPT_BY_CENTER_CROP)
        if isinstance(kept, bool) or not 0 < kept <= 1:
            raise ValueError(f"its center_crop is {kept}")
    except (ValueError, TypeError) as error:
        raise S2bnnError(
            f"{card} is not the card of a model ({one_line(error)}); remove it, or convert the "
            "model again"
        ) from error
    return float(kept)


def _add(parser: argparse.ArgumentParser, *names: str) -> None:
    about = {"model": "an encoder's .tflite", "classes": "the .npz that holds the classes"}
    for name in names:
        if name == "images":
            parser.add_argument("images", type=Path, nargs="+", help="pictures, or folders of them")
        else:
            parser.add_argument(name, type=Path, help=about[name])


# What a verb returns: the result for JSON, the text, and sentences about unreadable pictures.
Outcome = tuple[dict[str, Any], str, list[str]]


def _enroll(options: argparse.Namespace) -> Outcome:
    _, embeddings, errors = Embedder(options.model).readable(picture_files(options.images))
    with PrototypeClassifier.edit(options.classes) as classifier:
        classifier.enroll(options.name, embeddings)
    counts = ", ".join(f"{name} {count}" for name, count in classifier.counts.items())
    return {"classes": classifier.counts}, f"{options.classes}: {counts}", errors


def _classify(options: argparse.Namespace) -> Outcome:
    classifier = PrototypeClassifier.load(options.classes)
    if options.threshold is not None:
        classifier.threshold = options.threshold
    paths, embeddings, errors = Embedder(options.model).readable(picture_files(options.images))
    found = list(zip(paths, classifier.predict(embeddings)))
    rows = [{"path": str(path), "class": p.name, "score": p.score} for path, p in found]
    lines = [f"{p.score:7.4f}  {p.name or 'none of them'}  {path}" for path, p in found]
    return {"images": rows}, "\n".join(lines), errors


def _search(options: argparse.Namespace) -> Outcome:
    files = [path for path in picture_files(options.images) if not _same(path, options.query)]
    if not files:
        raise S2bnnError(f"there is no picture but {options.query} itself; name more pictures")
    embedder = Embedder(options.model)
    query = embedder([options.query])
    paths, vectors, errors = embedder.readable(files)
    vectors, query = (
        v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (vectors, query)
    )
    scores = vectors @ query[0]
    best = np.argsort(-scores, kind="stable")[: options.top_k]
    rows = [{"path": str(paths[i]), "score": float(scores[i])} for i in best]
    lines = [f"{row['score']:7.4f}  {row['path']}" for row in rows]
    return {"query": str(options.query), "found": rows}, "\n".join(lines), errors


def _same(path: Path, query: Path) -> bool:
    """Whether two paths lead to one file, which is no answer to a search for what is like it."""
    try:
        return os.path.samefile(path, query)
    except OSError:  # one of them does not exist, which reading it says in a sentence
        return False


def _forget(options: argparse.Namespace) -> Outcome:
    PrototypeClassifier.load(options.classes)  # which says so if there is no such file
    with PrototypeClassifier.edit(options.classes) as classifier:
        classifier.forget(options.name)
    left = ", ".join(classifier.counts) or "no class"
    return {"classes": classifier.counts}, f"{options.classes}: {left}", []
