"""Folders of images and videos: classes and splits, and a line that says what was found."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from s2bnn_tf.data.pictures import Found, extensions, find_pictures, read_file
from s2bnn_tf.data.video import VIDEO_EXTENSIONS, default_frames_dir, is_video, sample_video
from s2bnn_tf.errors import DataError
from s2bnn_tf.progress import Progress
from s2bnn_tf.text import counted, printable

# The names of splits, in lower case. The first that is there is taken.
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("val", "valid", "validation", "test", "testing")
# Names that are no classes either, but do not say for what the images are.
_UNCLEAR = ("dev", "eval", "evaluation", "holdout", "hold-out", "held-out", "trainval", "unlabeled")
TEST_SHARE = 0.2
_TRAINING_TOO = "test images that are also training images"
_MOST_NAMED = 6  # reasons in the line that says what was found


@dataclass(frozen=True)
class Listing:
    """The images of one split of a folder.

    Attributes:
        paths: The images, in sorted order.
        labels: The class of each, -1 for an image beside the class folders; None if there are no
            classes.
        class_names: The names of the classes, fit to be shown.
        said: One line that says what was found in the whole folder, and what was left out.
        given: Whether the images themselves are sorted into splits, rather than by a hash.
        videos: The video of each image that is a frame of one.
    """

    paths: list[Path]
    labels: list[int] | None
    class_names: tuple[str, ...]
    said: str = ""
    given: bool = False
    videos: dict[Path, Path] = field(default_factory=dict)


def list_folder(root: Path, split: str, frames_dir: Path | None = None) -> Listing:
    """Find the images of one split, in sorted order; frames of videos are among them.

    Three layouts are known. If there is a folder `train` or `training` and one named `val`,
    `valid`, `validation`, `test` or `testing`, in any case, they are the splits. If there is one
    subfolder per class, a fifth of each class is the test split, chosen by a hash of the relative
    path and therefore the same on every machine; files with equal contents stay on one side, and so
    do the frames of a video, as far as one side has room for them.
    Without subfolders there are no labels, and every image is in the train split. One folder
    around all of this is seen through.

    Args:
        root: The folder.
        split: `train` or `test`.
        frames_dir: Where frames of videos are kept; by default `default_frames_dir()`.

    Returns:
        The images of the split.

    Raises:
        DataError: If the folder is missing, has no image of this split, or has subfolders that
            look like splits and are not understood.
    """
    listings, found = _list(root, frames_dir)
    listing = listings.get(split)
    if listing is None or not listing.paths:
        raise DataError(_why_empty(root, split, listings, found))
    return listing


def list_splits(
    root: Path, frames_dir: Path | None = None, progress: Progress | None = None
) -> dict[str, Listing]:
    """Find the images of both splits, as `list_folder` finds those of one.

    Args:
        root: The folder.
        frames_dir: Where frames of videos are kept; by default `default_frames_dir()`.
        progress: Called while videos are decoded.

    Returns:
        The listings by `train` and `test`; a split without images is left out. Their `said` tells
        the sizes of the splits only if the folder itself has splits, since others may be chosen.

    Raises:
        DataError: Like `list_folder`, for the train split.
    """
    listings, found = _list(root, frames_dir, progress, tell_chosen=False)
    if "train" not in listings or not listings["train"].paths:
        raise DataError(_why_empty(root, "train", listings, found))
    return {split: listing for split, listing in listings.items() if listing.paths}


def list_video(path: Path, frames_dir: Path, progress: Progress | None = None) -> Listing:
    """Take the frames of one video; none is held out.

    Raises:
        DataError: If it cannot be decoded.
    """
    try:
        frames = sample_video(path, frames_dir, progress).frames
    except DataError as error:
        raise DataError(f"Cannot use the video {path}: {error}.") from error
    said = f"{printable(str(path))}: {len(frames):,} frames that differ."
    return Listing(frames, None, (), said, videos=dict.fromkeys(frames, path))


def _list(
    root: Path,
    frames_dir: Path | None,
    progress: Progress | None = None,
    *,
    tell_chosen: bool = True,
) -> tuple[dict[str, Listing], Found]:
    if not root.is_dir():
        if root.exists():
            raise DataError(f"{root} is no folder; give the folder that the pictures are in.")
        raise DataError(f"There is no folder {root}; check the path.")
    inside = _see_through(root)
    found = find_pictures(inside, VIDEO_EXTENSIONS)
    frames = take_frames(found, frames_dir or default_frames_dir(), progress)
    equal = _equal_files(found.paths, frames)
    # What has a class, and is held out or not: a picture, or a video with all of its frames.
    units = {path: path.parent if path in frames else path for path in found.paths}
    splits = _find_splits(inside)
    if splits:
        listings = _list_splits(inside, splits, found, equal, units)
    else:
        listings = _list_held_out(inside, found, equal, units)
    sizes = tell_chosen or bool(splits)
    said = _describe(root, inside, listings, found, (len(equal), frames), sizes=sizes)
    named = {
        split: replace(
            listing,
            paths=[frames.get(path, path) for path in listing.paths],
            said=said,
            given=bool(splits),
            videos={frames[path]: path.parent for path in listing.paths if path in frames},
        )
        for split, listing in listings.items()
    }
    return named, found


def take_frames(found: Found, frames_dir: Path, progress: Progress | None) -> dict[Path, Path]:
    """Put the frames of each video in its place, as if the video were a folder.

    Returns:
        The file of each frame.
    """
    frames: dict[Path, Path] = {}
    videos = [path for path in found.paths if is_video(path)]
    for path in videos:
        try:
            for frame in sample_video(path, frames_dir, progress).frames:
                frames[path / frame.name] = frame
        except DataError as error:
            found.closed.append(f"video {path}: {error}")
    found.paths = sorted([*(path for path in found.paths if not is_video(path)), *frames])
    return frames


def _see_through(root: Path) -> Path:
    """Go down while there is nothing but one folder that itself has folders."""
    while True:
        entries = [entry for entry in _entries(root) if not entry.name.startswith(".")]
        folders = [entry for entry in entries if entry.is_dir() and entry.name != "__MACOSX"]
        if len(folders) != 1 or any(_is_picture(entry.name) for entry in entries):
            return root
        if not any(entry.is_dir() for entry in _entries(Path(folders[0].path))):
            return root
        if folders[0].name.lower() in TRAIN_FOLDERS + TEST_FOLDERS:
            return root
        root = Path(folders[0].path)


def _find_splits(root: Path) -> dict[str, str]:
    """The subfolder of each split, by `train` and `test`; empty if the subfolders are classes."""
    names = {entry.name.lower(): entry.name for entry in _entries(root) if entry.is_dir()}
    splits = {
        split: next((names[name] for name in known if name in names), None)
        for split, known in (("train", TRAIN_FOLDERS), ("test", TEST_FOLDERS))
    }
    present = {split: name for split, name in splits.items() if name is not None}
    shown = [name for name in names if not name.startswith(".") and name != "__macosx"]
    alike = [name for name in shown if name in TRAIN_FOLDERS + TEST_FOLDERS + _UNCLEAR]
    if len(present) == 2 or (present and len(alike) == len(shown) == len(present)):
        return present
    if len(alike) > 1 or (alike and len(alike) == len(shown)):
        raise DataError(
            f"{root} has folders that look like splits and are not understood "
            f"({', '.join(sorted(alike))}); name them train and val, or give data.source one of "
            "them."
        )
    return {}


def _list_splits(
    root: Path,
    splits: dict[str, str],
    found: Found,
    equal: dict[Path, str],
    units: dict[Path, Path],
) -> dict[str, Listing]:
    chosen = {split: _below(found.paths, root / name) for split, name in splits.items()}
    for path in found.paths:
        top = path.relative_to(root).parts[0]
        if top not in splits.values():
            beside = units[path].parent == root
            found.left_out["beside the splits" if beside else f"in {top}"] += 1
    # The names of all splits together give a class the same number in each.
    names = {
        units[path].relative_to(root).parts[1]
        for paths in chosen.values()
        for path in paths
        if len(units[path].relative_to(root).parts) > 2
    }
    classes = sorted(names)
    training = {equal[path] for path in chosen.get("train", []) if path in equal}
    listings = {}
    for split, paths in chosen.items():
        if split == "test":
            kept = [path for path in paths if equal.get(path) not in training]
            found.left_out[_TRAINING_TOO] += len(paths) - len(kept)
            paths = kept
        labels = _labels([units[path] for path in paths], root / splits[split], classes)
        labeled = max(labels, default=-1) >= 0
        shown = tuple(map(printable, classes)) if labeled else ()
        listings[split] = Listing(paths, labels if labeled else None, shown)
    return listings


def _list_held_out(
    root: Path, found: Found, equal: dict[Path, str], units: dict[Path, Path]
) -> dict[str, Listing]:
    paths = found.paths
    classes = sorted({p.relative_to(root).parts[0] for p in units.values() if p.parent != root})
    if not classes:
        return {"train": Listing(paths, None, ())}
    labels = _labels(list(units.values()), root, classes)
    members: dict[int, Counter[Path]] = defaultdict(Counter)
    for unit, label in zip(units.values(), labels):
        members[label][unit] += 1
    held_out: set[Path] = set()
    for label, sizes in members.items():
        if label >= 0:
            held_out |= _choose(sizes, root)
    _keep_together(held_out, [(units[path], content) for path, content in equal.items()], root)
    listings = {}
    for split in ("train", "test"):
        kept = [i for i, p in enumerate(paths) if (units[p] in held_out) == (split == "test")]
        listings[split] = Listing(
            [paths[i] for i in kept], [labels[i] for i in kept], tuple(map(printable, classes))
        )
    return listings


def _choose(sizes: Counter[Path], root: Path) -> set[Path]:
    """Choose a fifth of the pictures of a class, in the order of the hashes of their paths.

    Where each of its videos is more than that, the shortest is chosen, unless it is most of them.
    """
    wanted, chosen = round(TEST_SHARE * sizes.total()), set()
    order = sorted(sizes, key=lambda path: hashlib.sha256(_key(path, root)).digest())
    for unit in order:
        if sizes[unit] <= wanted:
            chosen.add(unit)
            wanted -= sizes[unit]
    shortest = min(order, key=sizes.__getitem__)
    if wanted and not chosen and 2 * sizes[shortest] <= sizes.total():
        chosen.add(shortest)
    return chosen


def _keep_together(held_out: set[Path], equal: list[tuple[Path, str]], root: Path) -> None:
    """Move units with equal contents to one side: that of the path with the smallest hash."""
    groups: dict[str, set[Path]] = defaultdict(set)
    for unit, content in equal:
        groups[content].add(unit)
    joined: dict[Path, set[Path]] = {}  # a video is equal in many contents
    for group in groups.values():
        whole = group.union(*(joined.get(unit, ()) for unit in group))
        joined.update(dict.fromkeys(whole, whole))
    for group in {id(group): group for group in joined.values()}.values():
        first = min(group, key=lambda path: hashlib.sha256(_key(path, root)).digest())
        if first in held_out:
            held_out.update(group)
        else:
            held_out.difference_update(group)


def _equal_files(paths: Iterable[Path], frames: dict[Path, Path]) -> dict[Path, str]:
    """The files whose contents another file has too, each with a hash of them."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        with contextlib.suppress(OSError):  # it is named where it is read
            by_size[os.stat(frames.get(path, path)).st_size].append(path)
    contents: dict[Path, str] = {}
    for same_size in by_size.values():
        if len(same_size) > 1:
            for path in same_size:
                with contextlib.suppress(OSError):
                    content = read_file(frames.get(path, path))
                    contents[path] = hashlib.sha256(content).hexdigest()
    counts = Counter(contents.values())
    return {path: content for path, content in contents.items() if counts[content] > 1}


def _describe(
    root: Path,
    inside: Path,
    listings: dict[str, Listing],
    found: Found,
    counts: tuple[int, dict[Path, Path]],
    *,
    sizes: bool,
) -> str:
    """Say in one line what a folder holds, with or without the sizes of the splits."""
    train, test = (listings.get(split, Listing([], None, ())) for split in ("train", "test"))
    total, classes = len(train.paths) + len(test.paths), train.class_names or test.class_names
    what = counted(total, "picture") + (f" in {len(classes)} classes" if classes else "")
    parts = [f"{printable(str(root))}: {what}"]
    if test.paths and sizes:
        parts[0] += f", {len(train.paths):,} to train and {len(test.paths):,} held out to test"
    equal, frames = counts
    if frames:
        videos = len({path.parent for path in frames})
        parts.append(f"{len(frames):,} of them are frames of {counted(videos, 'video')}")
    if inside != root:
        parts.append(f"found inside {printable(str(inside))}")
    if found.repeated:
        parts.append(f"{found.repeated:,} links to them, which count once")
    if equal:
        parts.append(f"{equal:,} of them have equal contents and stay on one side")
    reasons = [f"{n:,} {reason}" for reason, n in found.left_out.most_common() if n]
    if len(reasons) > _MOST_NAMED:
        reasons[_MOST_NAMED:] = [f"{len(reasons) - _MOST_NAMED} other kinds"]
    more = len(found.closed) - _MOST_NAMED
    reasons += found.closed[:_MOST_NAMED] + ([f"{more} more videos or folders"] if more > 0 else [])
    if reasons:
        parts.append(f"left out: {printable(', '.join(reasons))}")
    return "; ".join(parts) + "."


def _why_empty(root: Path, split: str, listings: dict[str, Listing], found: Found) -> str:
    kinds = ", ".join(extension[1:] for extension in extensions())
    left_out = ", ".join(f"{n} {reason}" for reason, n in found.left_out.most_common(3) if n)
    beside = "".join(f"; {text}" for text in found.closed[:2])
    if not found.paths:
        there = f" (left out: {printable(left_out)})" if left_out else ""
        return f"There is no {split} image in {root}{there}{beside}; expected files of {kinds}."
    if split == "train":
        return f"There is no folder {root / TRAIN_FOLDERS[0]} with train images."
    if "test" not in listings and listings["train"].class_names == ():
        splits = [entry.name for entry in _entries(root) if entry.name.lower() in TRAIN_FOLDERS]
        if splits:
            return f"There is no folder {root / TEST_FOLDERS[0]} with test images."
        return f"{root} has no labels to test with; sort its images into one subfolder per class."
    if "test" not in listings:
        return f"There is no folder {root / TEST_FOLDERS[0]} with test images."
    if found.left_out[_TRAINING_TOO]:
        return f"All test images of {root} are also training images; replace them by others."
    return (
        f"The classes of {root} have too few images to hold a fifth of them out for a test; add "
        "images, or name labeled images with --data."
    )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []


def _is_picture(name: str) -> bool:
    return name.lower().endswith(extensions() + VIDEO_EXTENSIONS)


def _below(paths: list[Path], folder: Path) -> list[Path]:
    return [path for path in paths if path.is_relative_to(folder)]


def _labels(paths: list[Path], root: Path, classes: list[str]) -> list[int]:
    numbers = {name: number for number, name in enumerate(classes)}
    parts = [path.relative_to(root).parts for path in paths]
    return [numbers[part[0]] if len(part) > 1 else -1 for part in parts]


def _key(path: Path, root: Path) -> bytes:
    return os.fsencode(path.relative_to(root).as_posix())
