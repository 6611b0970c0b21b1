"""The verbs `s2bnn-run duplicates|cluster`: sort pictures by what they look like."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_runtime.clusters import agglomerate, cluster, cover
from s2bnn_runtime.duplicates import SIMILARITY, duplicates
from s2bnn_runtime.finding import add_places, gather
from s2bnn_runtime.index import PictureIndex
from s2bnn_runtime.page import check_page, write_page
from s2bnn_runtime.rows import Clock, Row, Rows, add_arguments, read_count, read_share

_METHODS = {"k-means": cluster, "agglomerative": agglomerate}


def add_verbs(verbs: Any) -> None:
    """Add the verbs, each with an example."""
    found = verbs.add_parser(
        "duplicates",
        help="find pictures that show the same",
        epilog="example: s2bnn-run duplicates encoder.tflite photos.npz --page duplicates.html",
    )
    add_arguments(found, "model")
    add_places(found)
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
    add_places(groups)
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
    groups.add_argument(
        "--method",
        choices=list(_METHODS),
        default="k-means",
        help="how they are grouped: around means, or by joining the groups that are most alike, "
        "which takes long for many (default: k-means)",
    )
    groups.set_defaults(run=_cluster)
    for verb in (found, groups):
        verb.add_argument(
            "--page", type=Path, metavar="FILE", help="write a page of thumbnails, *.html"
        )


def _open(options: argparse.Namespace) -> tuple[PictureIndex, list[Row]]:
    if options.page is not None:
        check_page(options.page)
    return gather(options)


def _duplicates(options: argparse.Namespace) -> Rows:
    index, errors = _open(options)
    yield from errors
    clock = Clock()
    groups = duplicates(np.asarray(index.vectors), options.similarity)
    spent = clock.lap() / len(index)
    page = []
    for group in groups:
        first = index.paths[group.members[0]]
        page.append((f"{len(group.members)} pictures", [index.paths[m] for m in group.members]))
        lines = [first]
        for member, score in zip(group.members[1:], group.scores[1:]):
            lines.append(f"  {score:7.4f}  {index.paths[member]}")
            record = {"path": index.paths[member], "duplicate_of": first, "score": score}
            yield Row({**record, "milliseconds": spent}, "")
        yield from (Row(None, line) for line in lines)
    if not groups:
        yield Row(None, "No two pictures show the same.")
    if options.page is not None:
        write_page(options.page, "Duplicates", page)


def _cluster(options: argparse.Namespace) -> Rows:
    index, errors = _open(options)
    yield from errors
    clock = Clock()
    vectors = np.asarray(index.vectors, np.float64)
    centered = vectors - vectors.mean(axis=0)
    units = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)
    members = _METHODS[options.method](units, options.clusters)
    first = {number: rank for rank, number in enumerate(cover(units, options.label_first), 1)}
    spent = clock.lap() / len(index)
    for number, path in enumerate(index.paths):
        record = {
            "path": path,
            "cluster": int(members[number]),
            "label_first": first.get(number),
            "milliseconds": spent,
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
