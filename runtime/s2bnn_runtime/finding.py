"""The verbs `s2bnn-run index|search|duplicates|cluster`: find pictures by what they look like."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.clusters import cluster, far_apart
from s2bnn_runtime.duplicates import SIMILARITY, duplicates
from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.errors import PictureError, S2bnnError
from s2bnn_runtime.images import picture_files
from s2bnn_runtime.index import PRECISIONS, PictureIndex, changes
from s2bnn_runtime.page import check_page, write_page
from s2bnn_runtime.prototypes import PrototypeClassifier
from s2bnn_runtime.rows import Clock, Row, Rows, add_arguments, read_count, read_share
from s2bnn_runtime.words import WORD

_INDEX = ".npz"  # how the name of an index ends, which tells it from pictures
_SAVE_AFTER = 30  # seconds, and so many times as long as saving took
_SAVE_SHARE = 20


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
    _add_places(search)
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
    found = verbs.add_parser(
        "duplicates",
        help="find pictures that show the same",
        epilog="example: s2bnn-run duplicates encoder.tflite photos.npz --page duplicates.html",
    )
    add_arguments(found, "model")
    _add_places(found)
    found.add_argument(
        "--similarity",
        type=read_share,
        default=SIMILARITY,
        metavar="S",
        help="the cosine, after subtracting the mean of all pictures, from which on two are the "
        f"same (default: {SIMILARITY:g})",
    )
    found.set_defaults(run=_duplicates)
    groups = verbs.add_parser(
        "cluster",
        help="group pictures, and choose those to label first",
        epilog="example: s2bnn-run cluster encoder.tflite photos.npz --clusters 20",
    )
    add_arguments(groups, "model")
    _add_places(groups)
    groups.add_argument(
        "--clusters", type=read_count, default=10, metavar="K", help="how many groups (default: 10)"
    )
    groups.add_argument(
        "--label-first",
        type=read_count,
        default=10,
        metavar="N",
        help="how many pictures to choose that cover all others best (default: 10)",
    )
    groups.set_defaults(run=_cluster)
    for verb in (found, groups):
        verb.add_argument(
            "--page", type=Path, metavar="FILE", help="write a page of thumbnails, *.html"
        )


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "places", type=Path, nargs="+", help="an index (*.npz), pictures, or folders of them"
    )


def _index(options: argparse.Namespace) -> Rows:
    if options.index.suffix != _INDEX:
        raise S2bnnError(f"the index must be named *{_INDEX}, not {options.index.name}")
    embedder = Embedder(options.model)
    index = PictureIndex(embedder.space)
    if options.index.exists():
        index = PictureIndex.load(options.index)
        _check_space(index, embedder, options.index)
    gone, new = changes(index, _listed(options.images, len(index) > 0))
    waiting: list[tuple[str, tuple[int, int], NDArray[np.float32]]] = []
    failed = 0

    def save() -> float:
        start = time.monotonic()
        nothing = np.zeros((0, index.vectors.shape[1]), np.float32)
        vectors = [vector for _, _, vector in waiting] or [nothing]
        index.replace(
            gone,
            [path for path, _, _ in waiting],
            [stamp for _, stamp, _ in waiting],
            np.concatenate(vectors),
        )
        index.save(options.index)
        waiting.clear()
        return time.monotonic() - start

    saved, took = time.monotonic(), 0.0
    for path, stamp in new:
        try:
            waiting.append((str(path), stamp, embedder.see(path).features))
        except PictureError as error:
            failed += 1
            yield Row.of_error(path, error)
        if time.monotonic() - saved > max(_SAVE_AFTER, _SAVE_SHARE * took):
            took, saved = save(), time.monotonic()
    save()
    record = {
        "index": str(options.index),
        "pictures": len(index),
        "added": len(new) - failed,
        "removed": len(gone),
    }
    text = f"{options.index}: {len(index)} pictures, {len(new) - failed} new or changed"
    yield Row(record, f"{text}, {len(gone)} gone")


def _listed(images: list[Path], may_be_empty: bool) -> list[Path]:
    """The pictures to index; none are right if an index is to be emptied."""
    for path in images:
        if not path.exists():
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
    indexes = [_open(path, embedder) for path in options.places if path.suffix == _INDEX]
    named = [path for path in options.places if path.suffix != _INDEX]
    asked = None if options.query.startswith(WORD) else Path(options.query)
    files = picture_files(named) if named else []
    files = [path for path in files if asked is None or not _same(path, asked)]
    if not files and not indexes:
        raise S2bnnError(f"there is no picture but {options.query} itself; name more pictures")
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
    best = dict(sorted(found, key=lambda hit: -hit[1]))  # of a picture in two indexes, one
    for path in list(best)[: options.top_k]:
        record = {"path": path, "score": best[path], "query": str(options.query)}
        yield Row({**record, "milliseconds": spent}, f"{best[path]:7.4f}  {path}")


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


def _duplicates(options: argparse.Namespace) -> Rows:
    index, errors = _gather(options)
    yield from errors
    groups = duplicates(np.asarray(index.vectors), options.similarity)
    page = []
    for group in groups:
        first = index.paths[group.members[0]]
        page.append((f"{len(group.members)} pictures", [index.paths[m] for m in group.members]))
        lines = [first]
        for member, score in zip(group.members[1:], group.scores[1:]):
            lines.append(f"  {score:7.4f}  {index.paths[member]}")
            record = {"path": index.paths[member], "duplicate_of": first, "score": score}
            yield Row(record, "")
        yield Row(None, "\n".join(lines))
    if not groups:
        yield Row(None, "No two pictures show the same.")
    if options.page is not None:
        write_page(options.page, "Duplicates", page)


def _cluster(options: argparse.Namespace) -> Rows:
    index, errors = _gather(options)
    yield from errors
    vectors = np.asarray(index.vectors, np.float64)
    centered = vectors - vectors.mean(axis=0)
    units = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)
    members = cluster(units, options.clusters)
    first = {number: rank for rank, number in enumerate(far_apart(units, options.label_first), 1)}
    for number, path in enumerate(index.paths):
        record = {
            "path": path,
            "cluster": int(members[number]),
            "label_first": first.get(number),
        }
        mark = f"  label {first[number]}" if number in first else ""
        yield Row(record, f"{members[number]:4d}  {path}{mark}")
    if options.page is not None:
        chosen = [("To label first", [index.paths[number] for number in first])]
        grouped = [
            (f"Group {group}", [index.paths[n] for n in np.flatnonzero(members == group)])
            for group in range(int(members.max()) + 1)
        ]
        write_page(options.page, "Groups", chosen + grouped)


def _gather(options: argparse.Namespace) -> tuple[PictureIndex, list[Row]]:
    """All pictures of the places in one index."""
    if options.page is not None:
        check_page(options.page)
    embedder = Embedder(options.model)
    named = [path for path in options.places if path.suffix != _INDEX]
    whole = PictureIndex(embedder.space)
    errors: list[Row] = []
    if named:
        whole, errors = _embed(picture_files(named), embedder)
    for path in options.places:
        if path.suffix == _INDEX:
            index = _open(path, embedder)
            stamps = [(size, changed) for size, changed in index.stamps.tolist()]
            whole.replace(set(), index.paths, stamps, np.asarray(index.vectors))
    if not len(whole):
        raise S2bnnError("there is no picture in the index; add some with `s2bnn-run index`")
    return whole, errors


def _embed(files: list[Path], embedder: Embedder) -> tuple[PictureIndex, list[Row]]:
    """An index of pictures that are named, and a row for each that cannot be read."""
    index, errors = PictureIndex(embedder.space), []
    paths, vectors = [], []
    for path, found in embedder.each(files):
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
    index = PictureIndex.load(path)
    _check_space(index, embedder, path)
    return index


def _check_space(index: PictureIndex, embedder: Embedder, path: Path) -> None:
    if index.space != embedder.space:
        raise S2bnnError(
            f"{path} was made with another model than {embedder.model}; use that one, or make an "
            "index of its own"
        )


def _same(path: str | Path, query: Path) -> bool:
    """Whether two paths lead to one file, which is no answer to a search for what is like it."""
    try:
        return os.path.samefile(path, query)
    except OSError:  # one of them does not exist, which reading it says in a sentence
        return False
