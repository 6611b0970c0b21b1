"""Which rows of a file of features belong to which pictures."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data import ImageSource
from s2bnn_tf.errors import DataError
from s2bnn_tf.teachers.feature_files import FeatureRows
from s2bnn_tf.text import printable

log = logging.getLogger(__name__)

Rows = NDArray[np.int64]


def match_features(rows: FeatureRows, source: ImageSource) -> Rows:
    """Find the rows of each picture: by its path, else by the digest of its file, else by order.

    Paths need not be the same: those of the file and of the pictures may begin with other
    folders. A picture is matched by the longest part of its path, from the end, that is the path
    of a row, or the rest of one below the folder that all rows share.

    Args:
        rows: What the file holds. What belongs to none of the pictures is named and left alone.
        source: The N pictures.

    Returns:
        int64 `(N, K)`: K rows of each picture, in the order of the file.

    Raises:
        DataError: If a picture has no row, or not as many as others, or shares its rows with
            another one; it names the picture.
    """
    if isinstance(source.identify(0), int) or not (rows.paths or rows.sha256):
        return _by_order(rows, source)
    names = [str(source.identify(index)) for index in range(len(source))]
    keys = _paths_of(names, rows.paths or [])
    if rows.sha256 is not None and None in keys:
        digests = source.digests()
        if digests is not None:
            return _gather(rows, [r.lower() for r in rows.sha256], digests, names, by="SHA-256")
    return _gather(rows, rows.paths or [], keys, names, by="path")


def _paths_of(names: Sequence[str], paths: Sequence[str]) -> list[str | None]:
    """The path among `paths` that each name ends in; of those that share one, the longest match."""
    folder = _shared_folder(paths)
    known = {PurePath(path).parts: path for path in paths}
    for path in paths:
        known.setdefault(PurePath(path).parts[len(folder) :], path)
    ends = [_longest_end(PurePath(name).parts, known) for name in names]
    most: dict[str, int] = defaultdict(int)
    for end in ends:
        if end:
            most[known[end]] = max(most[known[end]], len(end))
    return [known[end] if end and len(end) == most[known[end]] else None for end in ends]


def _longest_end(
    parts: tuple[str, ...], known: Mapping[tuple[str, ...], str]
) -> tuple[str, ...] | None:
    ends = (parts[begin:] for begin in range(len(parts)))
    return next((end for end in ends if end in known), None)


def _shared_folder(paths: Sequence[str]) -> tuple[str, ...]:
    """The parts of the folder that all paths are below."""
    folders = {PurePath(path).parts[:-1] for path in paths}
    return tuple(os.path.commonprefix(sorted(folders)))


def _gather(
    rows: FeatureRows,
    stored: Sequence[str],
    wanted: Sequence[str | None],
    names: Sequence[str],
    *,
    by: str,
) -> Rows:
    """The rows of each wanted key."""
    places: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(stored):
        places[key].append(row)
    missing = [name for name, key in zip(names, wanted) if key is None or key not in places]
    if missing:
        raise DataError(
            f"{rows.name} has no features, by {by}, of {len(missing):,} of the {len(names):,} "
            f"pictures, such as {printable(missing[0])}: compute those, or leave the pictures out."
        )
    if by == "path":  # files with equal contents may share rows, but not two different paths
        owners: dict[str | None, str] = {}
        for name, path in zip(names, wanted):
            if owners.setdefault(path, name) != name:
                raise DataError(
                    f"{rows.name}: {printable(str(path))} may be {printable(owners[path])} or "
                    f"{printable(name)}; name the pictures by paths that begin with the same "
                    "folder, or by sha256."
                )
    kept = {key for key in wanted if key is not None}
    surplus = [place for place in places if place not in kept]
    if surplus:
        log.info(
            "%s has features of %d more pictures, such as %s; they are left alone.",
            rows.name,
            len(surplus),
            printable(surplus[0]),
        )
    return _same_number(rows, [places[str(key)] for key in wanted], names)


def _same_number(rows: FeatureRows, found: list[list[int]], names: Sequence[str]) -> Rows:
    if rows.sha256 is not None and rows.paths is None and rows.boxes is None:
        found = [one[:1] for one in found]  # equal files, whose features are equal
    count = len(found[0])
    for name, one in zip(names, found):
        if len(one) != count:
            raise DataError(
                f"{rows.name} has {len(one)} rows of {printable(name)} and {count} of "
                f"{printable(names[0])}: give every picture as many."
            )
    if count > 1 and rows.boxes is None:
        raise DataError(
            f"{rows.name} has {count} rows of {printable(names[0])} and no boxes that say which "
            "part of it each shows: add them, or keep one row for each picture."
        )
    return np.array(found, np.int64)


def _by_order(rows: FeatureRows, source: ImageSource) -> Rows:
    """The rows in the order of the pictures, where nothing names them."""
    count, over = divmod(len(rows.features), len(source))
    if over or not count or (count > 1 and rows.boxes is None):
        raise DataError(
            f"{rows.name} has {len(rows.features):,} rows, which nothing but their order matches "
            f"to the {len(source):,} {source.split} pictures of {source.name}: give as many rows, "
            "or name the files by paths or sha256."
        )
    return np.arange(len(rows.features), dtype=np.int64).reshape(len(source), count)
