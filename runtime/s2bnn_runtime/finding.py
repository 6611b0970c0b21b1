"""The verbs `s2bnn-run index|search`: find pictures by what they look like."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.errors import PictureError, S2bnnError
from s2bnn_runtime.files import check_output
from s2bnn_runtime.images import matches, picture_files
from s2bnn_runtime.index import PRECISIONS, PictureIndex
from s2bnn_runtime.indexing import INDEX, changes, open_index, update
from s2bnn_runtime.prototypes import PrototypeClassifier
from s2bnn_runtime.rows import Clock, Row, Rows, add_arguments, read_count
from s2bnn_runtime.words import WORD


def add_verbs(verbs: Any) -> None:
    """Add the verbs, each with an example."""
    index = verbs.add_parser(
        "index",
        help="make or update an index of pictures: new and changed ones are read, deleted ones go",
        epilog="example: s2bnn-run index encoder.tflite photos/ photos.npz",
    )
    add_arguments(index, "model", "images")
    index.add_argument("index", type=Path, help="the .npz that holds the index")
    index.set_defaults(run=_index)
    search = verbs.add_parser(
        "search",
        help="find the other images most similar to one image",
        epilog="example: s2bnn-run search encoder.tflite query.jpg photos.npz",
    )
    add_arguments(search, "model")
    search.add_argument(
        "query", help=f'the picture to search for, or a name from --words, as in {WORD}"red car"'
    )
    search.add_argument(
        "--words", type=Path, metavar="FILE", help="the .npz of `s2bnn words` that knows the name"
    )
    add_places(search)
    search.add_argument(
        "--top-k", type=read_count, default=5, metavar="K", help="how many to show (default: 5)"
    )
    search.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float",
        help="what an index is searched by; the best of int8 and bits are compared again in float "
        "(default: float)",
    )
    search.set_defaults(run=_search)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names indexes and pictures alike."""
    parser.add_argument(
        "places", type=_place, nargs="+", help="an index (*.npz), pictures, or folders of them"
    )


def _place(text: str) -> Path:
    """A path; that of an index may be without its ending."""
    path = Path(text)
    index = Path(f"{text}{INDEX}")
    return index if index.is_file() and not path.exists() else path


def _index(options: argparse.Namespace) -> Rows:
    check_output(options.index)
    embedder = Embedder(options.model)
    index = open_index(options.index, embedder)
    gone, new = changes(index, _listed(options.images, len(index) > 0))
    failed, clock = 0, Clock()
    for seen in update(index, embedder, gone, new, options.index):
        if seen.error is not None:
            failed += 1
            yield Row.of_error(seen.path, seen.error)
    record = {
        "index": str(options.index),
        "pictures": len(index),
        "added": len(new) - failed,
        "removed": len(gone),
        "milliseconds": clock.lap() / max(len(new), 1),
    }
    count = "1 picture" if len(index) == 1 else f"{len(index)} pictures"
    text = f"{options.index}: {count}, {len(new) - failed} new or changed"
    yield Row(record, f"{text}, {len(gone)} gone")


def _listed(images: list[Path], may_be_empty: bool) -> list[Path]:
    """The pictures to index; none are right if an index is to be emptied."""
    for path in images:
        if not any(match.exists() for match in matches(path)):
            raise S2bnnError(f"{path} does not exist; check its path")
    if may_be_empty and all(path.is_dir() for path in images):
        found = []
        for path in images:
            try:
                found += picture_files([path])
            except S2bnnError:  # there is no picture in it
                continue
        return found
    return picture_files(images)


def _search(options: argparse.Namespace) -> Rows:
    embedder = Embedder(options.model)
    indexes = [_open(path, embedder) for path in options.places if path.suffix == INDEX]
    named = [path for path in options.places if path.suffix != INDEX]
    asked = None if options.query.startswith(WORD) else Path(options.query)
    files = picture_files(named) if named else []
    files = [path for path in files if asked is None or not _same(path, asked)]
    if not files and not indexes:
        raise _alone(options.query)
    if not files:
        _check_not_empty(*indexes)
    center = None
    if asked is None:
        query, center = _word(options, embedder)
    else:
        (query,) = embedder([asked])
    if files:
        index, errors = _embed(files, embedder)
        yield from errors
        indexes.append(index)
    clock = Clock()
    found = [
        hit
        for index in indexes
        for hit in index.search(
            query,
            options.top_k,
            precision=options.precision,
            leave_out=lambda path: asked is not None and _same(path, asked),
            center=center,
        )
    ]
    spent = clock.lap()
    # Of a picture in two places, one
    best = {os.path.abspath(path): (path, score) for path, score in reversed(found)}
    answers = sorted(best.values(), key=lambda hit: -hit[1])
    if not answers:
        raise _alone(options.query)
    for path, score in answers[: options.top_k]:
        record = {"path": path, "score": score, "query": str(options.query)}
        yield Row({**record, "milliseconds": spent}, f"{score:7.4f}  {path}")


def _word(
    options: argparse.Namespace, embedder: Embedder
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The vector of a word, and the mean of words."""
    if options.words is None:
        raise S2bnnError(f"{options.query} needs --words, a file that `s2bnn words` made")
    classes = PrototypeClassifier.load(options.words)
    classes.enter(embedder.space)
    vector = classes.vector(options.query.removeprefix(WORD)).astype(np.float32)
    return vector, None if classes.words is None else classes.words.mean.astype(np.float32)


def gather(options: argparse.Namespace) -> tuple[PictureIndex, list[Row]]:
    """All pictures of the places in one index, and a row for each that cannot be read."""
    embedder = Embedder(options.model)
    named = [path for path in options.places if path.suffix != INDEX]
    whole = PictureIndex(embedder.space)
    errors: list[Row] = []
    if named:
        whole, errors = _embed(picture_files(named), embedder)
    for path in options.places:
        if path.suffix == INDEX:
            _add_all(whole, _open(path, embedder))
    _check_not_empty(whole)
    return whole, errors


def _check_not_empty(*indexes: PictureIndex) -> None:
    """Refuse indexes without a single picture.

    Raises:
        S2bnnError: If there is none.
    """
    if not any(map(len, indexes)):
        raise S2bnnError("there is no picture in the index; add some with `s2bnn-run index`")


def _alone(query: str) -> S2bnnError:
    """The error of a search whose only picture is the query itself."""
    return S2bnnError(f"there is no picture but {query} itself; name more pictures")


def _add_all(whole: PictureIndex, index: PictureIndex) -> None:
    """Add the pictures of an index, without those that are there under another name."""
    known = {os.path.abspath(path) for path in whole.paths}
    rows = [number for number, path in enumerate(index.paths) if path not in known]
    paths = [index.paths[number] for number in rows]
    whole.replace(set(), paths, [(0, 0)] * len(rows), np.asarray(index.vectors[rows]))


def _embed(files: list[Path], embedder: Embedder) -> tuple[PictureIndex, list[Row]]:
    """An index of pictures that are named, and a row for each that cannot be read."""
    index, errors = PictureIndex(embedder.space), []
    paths, vectors = [], []
    once = {os.path.abspath(path): path for path in reversed(files)}  # a folder and its pictures
    for path, found in embedder.each(reversed(once.values())):
        if isinstance(found, PictureError):
            errors.append(Row.of_error(path, found))
        else:
            paths.append(str(path))
            vectors.append(found)
    if not paths:
        raise S2bnnError("; ".join(str((row.record or {})["error"]) for row in errors[:3]))
    index.replace(set(), paths, [(0, 0)] * len(paths), np.concatenate(vectors))
    return index, errors


def _open(path: Path, embedder: Embedder) -> PictureIndex:
    """Open an index that must exist."""
    if not path.exists():
        raise S2bnnError(f"{path} does not exist; check its path")
    return open_index(path, embedder)


def _same(path: str | Path, query: Path) -> bool:
    """Whether two paths lead to one file, which is no answer to a search for what is like it."""
    try:
        return os.path.samefile(path, query)
    except OSError:  # one of them does not exist, which reading it says in a sentence
        return False
