"""The verb `s2bnn-run search`: find pictures that are like one."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.errors import PictureError, S2bnnError
from s2bnn_runtime.images import picture_files
from s2bnn_runtime.rows import Row, Rows, add_arguments, read_count


def add_verbs(verbs: Any) -> None:
    """Add the verbs, each with an example."""
    search = verbs.add_parser(
        "search",
        help="find the other images most similar to one image",
        epilog="example: s2bnn-run search encoder.tflite query.jpg photos/",
    )
    add_arguments(search, "model")
    search.add_argument("query", type=Path, help="the picture to search for")
    add_arguments(search, "images")
    search.add_argument(
        "--top-k", type=read_count, default=5, metavar="K", help="how many to show (default: 5)"
    )
    search.set_defaults(run=_search)


def _search(options: argparse.Namespace) -> Rows:
    embedder = Embedder(options.model)
    files = [path for path in picture_files(options.images) if not _same(path, options.query)]
    if not files:
        raise S2bnnError(f"there is no picture but {options.query} itself; name more pictures")
    query = unit(embedder([options.query]))[0]
    paths, vectors = [], []
    errors = []
    for path, found in embedder.each(files):
        if isinstance(found, PictureError):
            errors.append(Row.of_error(path, found))
        else:
            paths.append(path)
            vectors.append(found)
    if not paths:
        raise S2bnnError("; ".join(str(row.record["error"]) for row in errors[:3] if row.record))
    yield from errors
    scores = unit(np.concatenate(vectors)) @ query
    for i in np.argsort(-scores, kind="stable")[: options.top_k]:
        record = {"path": str(paths[i]), "score": float(scores[i]), "query": str(options.query)}
        yield Row(record, f"{scores[i]:7.4f}  {paths[i]}")


def unit(vectors: Any) -> Any:
    """Scale vectors (N, D) to unit length; zeros remain zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _same(path: Path, query: Path) -> bool:
    """Whether two paths lead to one file, which is no answer to a search for what is like it."""
    try:
        return os.path.samefile(path, query)
    except OSError:  # one of them does not exist, which reading it says in a sentence
        return False
