"""The verbs `s2bnn-run enroll|classify|confirm|forget`: your own classes, without training."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.audit import ClassAudit, audit
from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.errors import PictureError, S2bnnError
from s2bnn_runtime.files import check_output
from s2bnn_runtime.images import picture_files
from s2bnn_runtime.prototypes import ENOUGH_EXAMPLES, PrototypeClassifier
from s2bnn_runtime.rows import Clock, Row, Rows, add_arguments, read_count, read_share
from s2bnn_runtime.stream import add_stream_arguments, add_verdict, arriving, check_recovery
from s2bnn_runtime.verdicts import Verdicts

__all__ = ["Embedder", "add_verbs"]  # programs import Embedder from here

_FALSE_ALARMS = 0.05
_MOST_SHOWN = 50  # classes in a line of text


def add_verbs(verbs: Any) -> None:
    """Add the verbs, each with an example."""
    enroll = verbs.add_parser(
        "enroll",
        help="add examples of a class",
        epilog="example: s2bnn-run enroll encoder.tflite pets.npz cat cat1.jpg cat2.jpg",
    )
    add_arguments(enroll, "model", "classes")
    enroll.add_argument("name", nargs="?", help="the name of a new or known class")
    enroll.add_argument("images", type=Path, nargs="*", help="pictures, or folders of them")
    enroll.add_argument(
        "--prototypes",
        type=read_count,
        metavar="P",
        help="how many kinds of pictures the class has, each with a mean of its own (default: 1)",
    )
    enroll.add_argument(
        "--onto",
        type=Path,
        metavar="WORDS",
        help="begin a new file with the classes of this one, such as words, which stays as it is",
    )
    enroll.add_argument(
        "--audit",
        action="store_true",
        help="report how well the examples of each class separate it from the others, which "
        "look wrong, and whether another one would help; needs no pictures",
    )
    enroll.set_defaults(run=_enroll)
    classify = verbs.add_parser(
        "classify",
        help="name the nearest class of each image, or none",
        epilog="example: s2bnn-run classify encoder.tflite pets.npz new.jpg",
    )
    add_arguments(classify, "model", "classes")
    add_stream_arguments(classify)
    rejection = classify.add_mutually_exclusive_group()
    rejection.add_argument(
        "--false-alarms",
        type=read_share,
        default=_FALSE_ALARMS,
        metavar="RATE",
        help="the share of further images of a class that may be rejected (default: "
        f"{_FALSE_ALARMS:g})",
    )
    rejection.add_argument(
        "--threshold", type=float, help="reject images that are less similar than this cosine"
    )
    classify.set_defaults(run=_classify)
    confirm = verbs.add_parser(
        "confirm",
        help="add images that you have seen to be of a known class",
        epilog="example: s2bnn-run confirm encoder.tflite pets.npz cat new.jpg",
    )
    add_arguments(confirm, "model", "classes")
    confirm.add_argument("name", help="the name of a known class")
    add_arguments(confirm, "images")
    confirm.set_defaults(run=_confirm)
    forget = verbs.add_parser(
        "forget", help="remove a class", epilog="example: s2bnn-run forget pets.npz cat"
    )
    add_arguments(forget, "classes")
    forget.add_argument("name", help="the name of the class")
    forget.set_defaults(run=_forget)


def _enroll(options: argparse.Namespace) -> Rows:
    if options.name is None and not options.audit:
        raise S2bnnError("nothing to do: name a class and its pictures, or use --audit")
    if options.name is not None and not options.images:
        raise S2bnnError(f"name pictures of {options.name!r}, or folders of them")
    if options.name is not None:
        check_output(options.classes)
    embedder = Embedder(options.model)
    if options.name is None:
        classifier = PrototypeClassifier.load(options.classes)
        classifier.enter(embedder.space)
    else:
        paths, embeddings, errors = embedder.readable(picture_files(options.images))
        with PrototypeClassifier.edit(options.classes, options.onto) as classifier:
            classifier.enter(embedder.space)
            classifier.enroll(options.name, embeddings, [str(path) for path in paths])
            if options.prototypes is not None:
                classifier.split(options.name, options.prototypes)
        yield from (Row({"error": error}, "") for error in errors)
        yield _counts(options, classifier)
    if options.audit:
        _check_not_empty(options.classes, classifier)
        for found in audit(classifier):
            first, *more = _describe(found)
            yield Row(asdict(found), first)
            yield from (Row(None, line) for line in more)


def _check_not_empty(path: Path, classifier: PrototypeClassifier) -> None:
    """Refuse a file whose classes were all forgotten.

    Raises:
        S2bnnError: If there is none.
    """
    if not classifier.counts:
        raise S2bnnError(f"{path} holds no class; add one with `s2bnn-run enroll`")


def _describe(found: ClassAudit) -> list[str]:
    """The audit of a class in a few lines."""
    if found.examples == 1:  # left out, it leaves nothing to be compared with
        lines = [f"{found.name}: 1 example, which says nothing about the class by itself"]
        return [*lines, *_shared(found), "  another example would help"]
    lines = [
        f"{found.name}: {100 * found.recognized:.0f} % of {found.examples} examples are nearest to "
        f"it, margin {found.margin:.4f}"
    ]
    if found.confused_with is not None:
        lines[0] += f", confused with {found.confused_with}"
    lines += [f"  looks like {other}: {source}" for source, other in found.wrong]
    lines += _shared(found)
    if found.another_helps:
        lines.append("  another example would help")
    return lines


def _shared(found: ClassAudit) -> list[str]:
    return [f"  is an example of {other} as well: {source}" for source, other in found.shared]


def _confirm(options: argparse.Namespace) -> Rows:
    PrototypeClassifier.load(options.classes)  # which says so if there is no such file
    check_output(options.classes)
    embedder = Embedder(options.model)
    paths, embeddings, errors = embedder.readable(picture_files(options.images))
    with PrototypeClassifier.edit(options.classes) as classifier:
        classifier.enter(embedder.space)
        added = classifier.confirm(options.name, embeddings, [str(path) for path in paths])
    yield from (Row({"error": error}, "") for error in errors)
    row = _counts(options, classifier)
    known = len(paths) - added
    were = "was an example" if known == 1 else "were examples"
    said = f" ({known} {were} before)" if known else ""
    yield Row({"added": added, **(row.record or {})}, row.text + said)


def _classify(options: argparse.Namespace) -> Rows:
    files = arriving(options)
    classifier = PrototypeClassifier.load(options.classes)
    embedder = Embedder(options.model)
    classifier.enter(embedder.space)
    _check_not_empty(options.classes, classifier)
    first, rate = _thresholds(options, classifier)
    second = _recovery(options, classifier, first, rate)
    yield Row(None, _describe_rejection(options, classifier, rate))
    verdicts = options.agree and Verdicts(options.agree)
    thresholds = first
    for path in files:
        clock = Clock()
        try:
            embedding = _direction(path, embedder)
        except PictureError as error:
            yield Row.of_error(path, error)
            continue
        (found,) = classifier.predict(embedding, thresholds)
        record = {
            "path": str(path),
            "class": found.name,
            "score": found.score,
            "nearest": found.nearest,
            "threshold": thresholds[found.nearest],
            "false_alarms": rate,
            "milliseconds": clock.lap(),
        }
        thresholds = second if found.name is None else first
        name = found.name or f"none of them (nearest: {found.nearest})"
        text = f"{found.score:7.4f}  {name}  {path}"
        if add_verdict(record, verdicts, found.name):
            text += f"  -> {record['verdict'] or 'none of them'}"
        yield Row(record, text)


def _direction(path: Path, embedder: Embedder) -> NDArray[np.float32]:
    """The embedding (1, D) of a picture, which is not zero; of a black one it may be."""
    embedding = embedder.see(path).features
    if not np.isfinite(embedding).all() or not embedding.any():
        raise PictureError(f"{path} shows nothing that the model sees: its embedding is zero")
    return embedding


def _describe_rejection(
    options: argparse.Namespace, classifier: PrototypeClassifier, rate: float | None
) -> str:
    if rate is not None:
        return (
            "A picture is rejected if it is less similar to its nearest class than "
            f"{100 * (1 - rate):g} % of further pictures of that class are expected to be."
        )
    if options.threshold is None and classifier.threshold == -1:
        if classifier.words is not None:
            return "Nothing is rejected: the words have no threshold; give one with --threshold."
        return f"Nothing is rejected: enroll at least {ENOUGH_EXAMPLES} pictures of each class."
    return ""


def _recovery(
    options: argparse.Namespace,
    classifier: PrototypeClassifier,
    first: dict[str, float],
    rate: float | None,
) -> dict[str, float]:
    """The smallest cosines with which the classes are named after a picture of none of them."""
    if options.recover is None:
        return first
    if rate is None:
        raise S2bnnError(
            "--recover needs thresholds that are chosen at a rate: leave --threshold away, and "
            f"enroll at least {ENOUGH_EXAMPLES} pictures of each class"
        )
    check_recovery(options.recover, rate)
    return classifier.calibrated(options.recover) or first


def _thresholds(
    options: argparse.Namespace, classifier: PrototypeClassifier
) -> tuple[dict[str, float], float | None]:
    """The smallest cosine with which each class is named, and the rate at which it was chosen."""
    fixed = classifier.threshold if options.threshold is None else options.threshold
    if fixed == -1 and options.threshold is None:
        chosen = classifier.calibrated(options.false_alarms)
        if chosen is not None:
            return chosen, options.false_alarms
    if not -1 <= fixed <= 1:
        raise S2bnnError(f"threshold is a cosine, -1 to 1, not {fixed}")
    return dict.fromkeys(classifier.counts, fixed), None


def _forget(options: argparse.Namespace) -> Rows:
    PrototypeClassifier.load(options.classes)  # which says so if there is no such file
    with PrototypeClassifier.edit(options.classes) as classifier:
        classifier.forget(options.name)
    yield _counts(options, classifier)


def _counts(options: argparse.Namespace, classifier: PrototypeClassifier) -> Row:
    counts = classifier.counts
    shown = [f"{name} {count}" for name, count in counts.items()][:_MOST_SHOWN]
    more = f" and {len(counts) - _MOST_SHOWN:,} more" if len(counts) > _MOST_SHOWN else ""
    text = f"{options.classes}: {', '.join(shown) or 'no class'}{more}"
    return Row({"classes": counts}, text)
