"""What there is to learn from: pictures, sizes, classes, and which of them are held out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data import (
    Listed,
    Listing,
    list_splits,
    open_images,
    open_source,
    read_list,
    source_names,
    write_list,
)
from s2bnn_tf.errors import ConfigError, DataError
from s2bnn_tf.pipeline.color import have_color
from s2bnn_tf.pipeline.groups import find_groups, hold_out
from s2bnn_tf.progress import Progress, no_progress
from s2bnn_tf.text import printable

FEWEST = 32  # pictures that differ
_SOME = 64  # pictures are looked at closely
_ENOUGH = (64.0, 64.0)  # height and width that a large JPEG is decoded to for that


@dataclass(frozen=True)
class Look:
    """What was found.

    Attributes:
        source: The images, as for `open_source`.
        train: The number of pictures to learn from.
        test: The number of pictures that are held out.
        class_names: The classes; empty without labels.
        side: The median of the pictures' shorter sides in pixels.
        said: Lines for the user.
        left_out: The number of pictures that are neither, because they cannot be read or
            resemble others.
        color: Whether color can tell them apart; see `have_color`.
    """

    source: str
    train: int
    test: int
    class_names: tuple[str, ...]
    side: int
    said: tuple[str, ...] = ()
    left_out: int = 0
    color: bool = True


def look_at(
    data: str | Path | Sequence[str | Path],
    output_dir: Path,
    *,
    share: float,
    progress: Progress | None = None,
) -> Look:
    """Look at the images, hold some out, and write the list `images.tsv` of both parts.

    Args:
        data: A folder, a sequence of picture files, or another source as for `open_source`, whose
            own splits are then used.
        output_dir: The folder for the list.
        share: The share of each class that is held out, 0 to below 1. A folder whose pictures are
            sorted into `train` and `val` keeps its own splits.
        progress: Called with lines for the user, and with how much is done.

    Raises:
        ConfigError: If the output is to be written inside of the folder of the pictures.
        DataError: If there are no pictures, or fewer than 32 that differ.
    """
    report = progress or no_progress
    if _has_own_splits(data):
        return _as_it_is(str(data))
    if isinstance(data, (str, Path)):
        root = _root(data)
        if output_dir.resolve().is_relative_to(root.resolve()) and root.is_dir():
            raise ConfigError(
                f"{output_dir} is inside of {root}, whose pictures are read; choose an "
                "--output-dir elsewhere."
            )
    listings = _list(data)
    for line in {listing.said: None for listing in listings.values() if listing.said}:
        report(line)
    name = str(_root(data)) if isinstance(data, (str, Path)) else f"{len(data)} files"
    return _divide(name, listings, output_dir, share, report)


def check_unchanged(data: str | Path | Sequence[str | Path], look: Look, output_dir: Path) -> None:
    """Refuse to resume when pictures came or went since `look_at`; headers are not read.

    Raises:
        DataError: If so; it says how many.
    """
    if _has_own_splits(data):
        if data != look.source:
            raise DataError(
                f"{output_dir} holds a fit on {look.source}, not on {data}; choose another "
                "--output-dir."
            )
        return
    known = {
        path
        for split in ("train", "test")[: 2 if look.test else 1]
        for path in read_list(output_dir / "images.tsv", split).paths
    }
    gone = sum(not path.exists() for path in known)
    there = {path.resolve() for listing in _list(data).values() for path in listing.paths}
    came = max(0, len(there - known) - look.left_out)
    if gone or came:
        raise DataError(
            f"{gone:,} of the {len(known):,} pictures of {output_dir} are gone, and {came:,} came "
            "since it was begun; undo that, or choose another --output-dir."
        )


def _has_own_splits(data: object) -> bool:
    """Whether this names another kind of source than picture files."""
    if not isinstance(data, str) or Path(data).expanduser().is_dir():
        return False
    kind = data.split(":")[0]
    return data == "digits" or kind in ("idx", "list", "tfrecord", "tfds", *source_names())


def _list(data: str | Path | Sequence[str | Path]) -> dict[str, Listing]:
    if isinstance(data, (str, Path)):
        return list_splits(_root(data))
    return {"train": Listing([Path(path) for path in data], None, ())}


def _root(folder: str | Path) -> Path:
    return Path(str(folder).removeprefix("folder:")).expanduser()


def _as_it_is(spec: str) -> Look:
    """Use the splits that another kind of source has."""
    train = open_source(spec, "train")
    try:
        held_out = len(open_source(spec, "test"))
    except DataError:
        held_out = 0
    some = [train.read(int(i)) for i in _spread(len(train))]
    side = int(np.median([min(image.shape[:2]) for image in some]))
    names = train.class_names if train.labels is not None else ()
    return Look(spec, len(train), held_out, tuple(names), side, color=have_color(some))


def _spread(count: int) -> NDArray[np.int64]:
    """Up to `_SOME` indices, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, _SOME)).astype(np.int64))


def _divide(
    name: str, listings: dict[str, Listing], output_dir: Path, share: float, report: Progress
) -> Look:
    """Group the pictures, hold some of them out, and write the list."""
    paths, labels, given = _join(listings)
    source = open_images(list(paths))
    groups = find_groups(source, report)
    whole = [i for i in range(len(source)) if source.failure(i) is None]
    source, groups = source.select(whole), groups[whole]
    readable = list(source.paths)
    names = tuple(sorted({labels[path] for path in readable} - {""}))
    numbers = np.array([names.index(labels[p]) if labels[p] else -1 for p in readable], np.int64)
    different = len(np.unique(groups))
    if different < FEWEST:
        alike = "" if different == len(readable) else f", of which {different} differ"
        raise DataError(
            f"{printable(name)} has {len(readable)} readable pictures{alike}; at least {FEWEST} "
            "that differ are needed to learn anything: add pictures."
        )
    if given:
        test = np.array([path in given for path in readable])
        kept = ~(test & np.isin(groups, groups[~test]))
    else:
        root = os.path.commonpath([path.parent for path in readable])
        keys = [_digest(path, root) for path in readable]
        test, kept = hold_out(groups, numbers, keys, share), np.ones(len(readable), bool)
    images = [
        Listed(path.resolve(), labels[path], "test" if held_out else "train")
        for path, held_out, keep in zip(readable, test, kept)
        if keep
    ]
    output_dir.mkdir(parents=True, exist_ok=True)
    write_list(output_dir / "images.tsv", images)
    counts = int((~test).sum()), int((test & kept).sum())
    said = _describe(counts, names, groups, int((~kept).sum()), len(source.unreadable))
    report(said)
    side = int(np.median(source.sizes.min(axis=1)))
    spec = f"list:{(output_dir / 'images.tsv').resolve()}"
    some = (source.decode(int(i), _ENOUGH) for i in _spread(len(source)))
    left_out = len(paths) - len(images)
    return Look(spec, *counts, names, side, (said,), left_out, have_color(some))


def _join(listings: dict[str, Listing]) -> tuple[list[Path], dict[Path, str], set[Path]]:
    """All paths, the class of each, and those that the folder itself sorts into its test split."""
    labels: dict[Path, str] = {}
    for listing in listings.values():
        numbers = listing.labels or [-1] * len(listing.paths)
        for path, number in zip(listing.paths, numbers):
            labels[path] = listing.class_names[number] if number >= 0 else ""
    test = listings.get("test")
    given = set(test.paths) if test is not None and test.given else set()
    return sorted(labels), labels, given


def _digest(path: Path, root: str) -> bytes:
    return hashlib.sha256(os.fsencode(os.path.relpath(path, root))).digest()


def _describe(
    counts: tuple[int, int],
    names: tuple[str, ...],
    groups: NDArray[np.int64],
    left_out: int,
    unreadable: int,
) -> str:
    train, test = counts
    line = f"{train:,} pictures to learn from and {test:,} held out to measure"
    if names:
        line += f", in {len(names)} classes"
    alike = len(groups) - len(np.unique(groups))
    if alike:
        line += f"; near-duplicates and pictures of one burst, which stay together: {alike:,}"
    if left_out:
        line += f"; left out: {left_out:,} test pictures that resemble training pictures"
    if unreadable:
        line += f"; pictures that cannot be read: {unreadable:,}"
    return line + "."
