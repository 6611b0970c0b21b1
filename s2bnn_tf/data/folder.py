"""Folders of image files: their images, classes and splits, and a line that says what was found."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from s2bnn_tf.data.pictures import Found, extensions, find_pictures, read_file
from s2bnn_tf.errors import DataError
from s2bnn_tf.text import printable

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
    """

    paths: list[Path]
    labels: list[int] | None
    class_names: tuple[str, ...]
    said: str = ""
    given: bool = False


def list_folder(root: Path, split: str) -> Listing:
    """Find the images of one split, in sorted order.

    Three layouts are known. If there is a folder `train` or `training` and one named `val`,
    `valid`, `validation`, `test` or `testing`, in any case, they are the splits. If there is one
    subfolder per class, a fifth of each class is the test split, chosen by a hash of the relative
    path and therefore the same on every machine; files with equal contents stay on one side.
    Without subfolders there are no labels, and every image is in the train split. One folder
    around all of this is seen through.

    Args:
        root: The folder.
        split: `train` or `test`.

    Returns:
        The images of the split.

    Raises:
        DataError: If the folder is missing, has no image of this split, or has subfolders that
            look like splits and are not understood.
    """
    listings, found = _list(root)
    listing = listings.get(split)
    if listing is None or not listing.paths:
        raise DataError(_why_empty(root, split, listings, found))
    return listing


def list_splits(root: Path) -> dict[str, Listing]:
    """Find the images of both splits, as `list_folder` finds those of one.

    Returns:
        The listings by `train` and `test`; a split without images is left out. Their `said` tells
        the sizes of the splits only if the folder itself has splits, since others may be chosen.

    Raises:
        DataError: Like `list_folder`, for the train split.
    """
    listings, found = _list(root, tell_chosen=False)
    if "train" not in listings or not listings["train"].paths:
        raise DataError(_why_empty(root, "train", listings, found))
    return {split: listing for split, listing in listings.items() if listing.paths}


def _list(root: Path, *, tell_chosen: bool = True) -> tuple[dict[str, Listing], Found]:
    if not root.is_dir():
        raise DataError(f"There is no folder {root}; write folder: and the path of a folder.")
    inside = _see_through(root)
    found = find_pictures(inside)
    equal = _equal_files(found.paths)
    splits = _find_splits(inside)
    if splits:
        listings = _list_splits(inside, splits, found, equal)
    else:
        listings = _list_held_out(inside, found, equal)
    sizes = tell_chosen or bool(splits)
    said = _describe(root, inside, listings, found, len(equal), sizes=sizes)
    named = {
        split: replace(listing, said=said, given=bool(splits))
        for split, listing in listings.items()
    }
    return named, found


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
    root: Path, splits: dict[str, str], found: Found, equal: dict[Path, str]
) -> dict[str, Listing]:
    chosen = {split: _below(found.paths, root / name) for split, name in splits.items()}
    for path in found.paths:
        top = path.relative_to(root).parts[0]
        if top not in splits.values():
            found.left_out[f"in {top}" if path.parent != root else "beside the splits"] += 1
    # The names of all splits together give a class the same number in each.
    names = {
        path.relative_to(root).parts[1]
        for paths in chosen.values()
        for path in paths
        if len(path.relative_to(root).parts) > 2
    }
    classes = sorted(names)
    training = {equal[path] for path in chosen.get("train", []) if path in equal}
    listings = {}
    for split, paths in chosen.items():
        if split == "test":
            kept = [path for path in paths if equal.get(path) not in training]
            found.left_out[_TRAINING_TOO] += len(paths) - len(kept)
            paths = kept
        labels = _labels(paths, root / splits[split], classes)
        labeled = max(labels, default=-1) >= 0
        shown = tuple(map(printable, classes)) if labeled else ()
        listings[split] = Listing(paths, labels if labeled else None, shown)
    return listings


def _list_held_out(root: Path, found: Found, equal: dict[Path, str]) -> dict[str, Listing]:
    paths = found.paths
    classes = sorted({p.relative_to(root).parts[0] for p in paths if p.parent != root})
    if not classes:
        return {"train": Listing(paths, None, ())}
    labels = _labels(paths, root, classes)
    members: dict[int, list[Path]] = defaultdict(list)
    for path, label in zip(paths, labels):
        members[label].append(path)
    held_out: set[Path] = set()
    for label, group in members.items():
        if label >= 0:
            group.sort(key=lambda path: hashlib.sha256(_key(path, root)).digest())
            held_out.update(group[: round(TEST_SHARE * len(group))])
    _keep_together(held_out, equal, root)
    listings = {}
    for split in ("train", "test"):
        kept = [i for i, path in enumerate(paths) if (path in held_out) == (split == "test")]
        listings[split] = Listing(
            [paths[i] for i in kept], [labels[i] for i in kept], tuple(map(printable, classes))
        )
    return listings


def _keep_together(held_out: set[Path], equal: dict[Path, str], root: Path) -> None:
    """Move equal files to one side: that of the file whose path has the smallest hash."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path, content in equal.items():
        groups[content].append(path)
    for group in groups.values():
        first = min(group, key=lambda path: hashlib.sha256(_key(path, root)).digest())
        if first in held_out:
            held_out.update(group)
        else:
            held_out.difference_update(group)


def _equal_files(paths: Iterable[Path]) -> dict[Path, str]:
    """The files whose contents another file has too, each with a hash of them."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        with contextlib.suppress(OSError):  # it is named where it is read
            by_size[os.stat(path).st_size].append(path)
    contents: dict[Path, str] = {}
    for same_size in by_size.values():
        if len(same_size) > 1:
            for path in same_size:
                with contextlib.suppress(OSError):
                    contents[path] = hashlib.sha256(read_file(path)).hexdigest()
    counts = Counter(contents.values())
    return {path: content for path, content in contents.items() if counts[content] > 1}


def _describe(
    root: Path,
    inside: Path,
    listings: dict[str, Listing],
    found: Found,
    equal: int,
    *,
    sizes: bool,
) -> str:
    """Say in one line what a folder holds, with or without the sizes of the splits."""
    train, test = (listings.get(split, Listing([], None, ())) for split in ("train", "test"))
    total, classes = len(train.paths) + len(test.paths), train.class_names or test.class_names
    what = f"{total:,} pictures" + (f" in {len(classes)} classes" if classes else "")
    parts = [f"{printable(str(root))}: {what}"]
    if test.paths and sizes:
        parts[0] += f", {len(train.paths):,} to train and {len(test.paths):,} held out to test"
    if inside != root:
        parts.append(f"found inside {printable(str(inside))}")
    if found.repeated:
        parts.append(f"{found.repeated:,} links to them, which count once")
    if equal:
        parts.append(f"{equal:,} of them have equal contents and stay on one side")
    reasons = [f"{n:,} {reason}" for reason, n in found.left_out.most_common() if n]
    if len(reasons) > _MOST_NAMED:
        reasons[_MOST_NAMED:] = [f"{len(reasons) - _MOST_NAMED} other kinds"]
    reasons += found.closed
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
    return name.lower().endswith(extensions())


def _below(paths: list[Path], folder: Path) -> list[Path]:
    return [path for path in paths if path.is_relative_to(folder)]


def _labels(paths: list[Path], root: Path, classes: list[str]) -> list[int]:
    numbers = {name: number for number, name in enumerate(classes)}
    parts = [path.relative_to(root).parts for path in paths]
    return [numbers[part[0]] if len(part) > 1 else -1 for part in parts]


def _key(path: Path, root: Path) -> bytes:
    return os.fsencode(path.relative_to(root).as_posix())
