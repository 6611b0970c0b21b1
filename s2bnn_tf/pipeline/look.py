"""What there is to learn from: pictures, sizes, classes, and which of them are held out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data import (
    Listed,
    Listing,
    has_own_splits,
    is_video,
    list_pictures,
    list_splits,
    list_video,
    open_images,
    open_source,
    path_of,
    read_list,
    write_list,
)
from s2bnn_tf.errors import ConfigError, DataError
from s2bnn_tf.pipeline.color import have_color
from s2bnn_tf.pipeline.groups import cut_videos, find_groups, hold_out, join_videos
from s2bnn_tf.progress import Progress, no_progress
from s2bnn_tf.text import counted, printable

FEWEST = 32  # pictures that differ
FRAMES = "frames"  # the folder in the output directory for frames of videos
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
        data: A folder, a sequence of picture files, folders and videos, which have no classes
            then, or another source as for `open_source`, whose own splits are used.
        output_dir: The folder for the list.
        share: The share of each class that is held out, 0 to below 1. A folder whose pictures are
            sorted into `train` and `val` keeps its own splits.
        progress: Called with lines for the user, and with how much is done.

    Raises:
        ConfigError: If the output is to be written inside of the folder of the pictures.
        DataError: If there are no pictures, or fewer than 32 that differ.
    """
    report = progress or no_progress
    if isinstance(data, str) and has_own_splits(data):
        return _as_it_is(data)
    if isinstance(data, (str, Path)):
        root = path_of(data)
        if output_dir.resolve().is_relative_to(root.resolve()) and root.is_dir():
            raise ConfigError(
                f"{output_dir} is inside of {root}, whose pictures are read; choose an "
                "--output-dir elsewhere."
            )
    listings = _list(data, output_dir / FRAMES, report)
    for line in dict.fromkeys("\n".join(x.said for x in listings.values()).splitlines()):
        report(line)
    name = str(path_of(data)) if isinstance(data, (str, Path)) else f"{len(data)} files"
    return _divide(name, listings, output_dir, share, report)


def check_unchanged(data: str | Path | Sequence[str | Path], look: Look, output_dir: Path) -> None:
    """Refuse to resume when pictures came or went since `look_at`; headers are not read.

    Raises:
        DataError: If so; it says how many.
    """
    if isinstance(data, str) and has_own_splits(data):
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
    frames_dir = (output_dir / FRAMES).resolve()
    listings = _list(data, frames_dir).values()
    there = {path.resolve() for listing in listings for path in listing.paths}
    # Frames outlive their video.
    gone = sum(
        not path.exists() or (path.is_relative_to(frames_dir) and path not in there)
        for path in known
    )
    came = max(0, len(there - known) - look.left_out)
    if came and not known & there:
        raise DataError(
            f"{output_dir} holds a fit on other pictures than those in {data}; choose another "
            "--output-dir."
        )
    if gone or came:
        raise DataError(
            f"{gone:,} of the {len(known):,} pictures of {output_dir} are gone, and {came:,} came "
            "since it was begun; undo that, or choose another --output-dir."
        )


def _list(
    data: str | Path | Sequence[str | Path], frames_dir: Path, progress: Progress | None = None
) -> dict[str, Listing]:
    if isinstance(data, (str, Path)):
        root = path_of(data)
        if not root.is_dir() and (is_video(root) or str(data).startswith("video:")):
            return {"train": list_video(root, frames_dir, progress)}
        if not root.is_dir() and ":" in str(root):
            open_source(str(data))  # says which sources there are, and which plugin is missing
        return list_splits(root, frames_dir, progress)
    return {"train": list_pictures(data, frames_dir, progress)}


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
    alike = find_groups(source, report)
    whole = [i for i in range(len(source)) if source.failure(i) is None]
    source, alike = source.select(whole), alike[whole]
    readable = list(source.paths)
    known = dict(chain.from_iterable(listing.videos.items() for listing in listings.values()))
    videos = [known.get(path) for path in readable]
    single = np.array([video is None for video in videos])
    names = tuple(sorted({labels[path] for path in readable} - {""}))
    numbers = np.array([names.index(labels[p]) if labels[p] else -1 for p in readable], np.int64)
    # The frames of a video were chosen because they differ.
    different = len(np.unique(alike[single])) + int((~single).sum())
    if different < FEWEST:
        differ = "" if different == len(readable) else f", of which {different} differ"
        count = counted(len(readable), "readable picture")
        raise DataError(
            f"{printable(name)} has {count}{differ}; at least {FEWEST} that differ are needed to "
            "learn anything: add pictures."
        )
    if given:
        test = np.array([path in given for path in readable])
        kept = ~(test & np.isin(alike, alike[~test]))
    else:
        test, kept = _hold_out(readable, videos, alike, numbers, share)
    images = [
        Listed(path.resolve(), labels[path], "test" if held_out else "train")
        for path, held_out, keep in zip(readable, test, kept)
        if keep
    ]
    output_dir.mkdir(parents=True, exist_ok=True)
    write_list(output_dir / "images.tsv", images)
    counts = int((~test & kept).sum()), int((test & kept).sum())
    unused = int((~test & ~kept).sum()), int((test & ~kept).sum())
    said = _describe(counts, names, alike[single], unused, len(source.unreadable))
    report(said)
    side = int(np.median(source.sizes.min(axis=1)))
    spec = f"list:{(output_dir / 'images.tsv').resolve()}"
    some = (source.decode(int(i), _ENOUGH) for i in _spread(len(source)))
    left_out = len(paths) - len(images)
    return Look(spec, *counts, names, side, (said,), left_out, have_color(some))


def _hold_out(
    paths: list[Path],
    videos: list[Path | None],
    alike: NDArray[np.int64],
    labels: NDArray[np.int64],
    share: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What is held out, in whole videos if possible, and what is used at all, bool `(N,)` both."""
    places = [video / path.name if video else path for path, video in zip(paths, videos)]
    root = os.path.commonpath([place.parent for place in places])
    keys = [_digest(place, root) for place in places]
    test = hold_out(join_videos(alike, videos), labels, keys, share)
    kept = np.ones(len(paths), bool)
    # Beside classes, what has none measures nothing.
    asked = labels >= 0 if (labels >= 0).any() else np.ones(len(paths), bool)
    to_cut = [video if ask else None for video, ask in zip(videos, asked)]
    if any(to_cut) and test.sum() < share * asked.sum() / 2:
        test, kept = cut_videos(test, to_cut, share)
        kept &= ~(test & np.isin(alike, alike[kept & ~test]))
    return test, kept


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
    unused: tuple[int, int],
    unreadable: int,
) -> str:
    train, test = counts
    line = f"{train:,} pictures to learn from and {test:,} held out to measure"
    if names:
        line += f", in {len(names)} classes"
    alike = len(groups) - len(np.unique(groups))
    if alike:
        line += f"; near-duplicates and pictures of one burst, which stay together: {alike:,}"
    gap, resembling = unused
    if resembling:
        line += f"; left out: {resembling:,} test pictures that resemble training pictures"
    if unreadable:
        line += f"; pictures that cannot be read: {unreadable:,}"
    line += "."
    if gap:
        line += (
            " There are too few videos to hold out whole ones, so the end of each is held out, and "
            f"{gap:,} frames before it are left out; one part of a video is like another, so other "
            "videos would measure better."
        )
    return line
