"""Folders of image files: their images, classes and splits."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from pathlib import Path

from s2bnn_tf.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
TRAIN_FOLDERS = ("train",)
TEST_FOLDERS = ("val", "test")
TEST_SHARE = 0.2

Listing = tuple[list[Path], list[int] | None, tuple[str, ...]]


def list_folder(root: Path, split: str) -> Listing:
    """Find the images of one split, in sorted order.

    Three layouts are known. If there are folders `train/` and `val/` or `test/`, they are the
    splits. If there is one subfolder per class, a fifth of each class is the test split, chosen
    by a hash of the relative path and therefore the same on every machine. Without subfolders
    there are no labels, and every image is in the train split.

    Args:
        root: The folder.
        split: `train` or `test`.

    Returns:
        The paths, their labels (-1 for an image beside the class folders; None if there are no
        classes) and the class names.

    Raises:
        DataError: If the folder is missing, or has no image of this split.
    """
    if not root.is_dir():
        raise DataError(f"There is no folder {root}; write folder: and the path of a folder.")
    subfolders = _subfolders(root)
    if _is_split(subfolders):
        listing = _list_split_folder(root, split, subfolders)
    elif subfolders:
        listing = _list_hashed_split(root, split, subfolders)
    elif split == "test":
        raise DataError(
            f"{root} has no labels to test with; sort its images into one subfolder per class."
        )
    else:
        listing = scan(root), None, ()
    if not listing[0]:
        kinds = ", ".join(extension[1:] for extension in EXTENSIONS)
        raise DataError(f"There is no {split} image in {root}; expected files of {kinds}.")
    return listing


def scan(root: Path) -> list[Path]:
    """List the images under a folder, sorted; hidden ones are left out, links are followed once."""
    found: list[Path] = []
    seen: set[str] = set()
    for directory, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen:  # a link to a folder that is listed already
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += (
            Path(directory, name)
            for name in files
            if not name.startswith(".") and name.lower().endswith(EXTENSIONS)
        )
    return sorted(found)


def _subfolders(root: Path) -> list[str]:
    return sorted(e.name for e in os.scandir(root) if e.is_dir() and not e.name.startswith("."))


def _is_split(subfolders: list[str]) -> bool:
    has_train = any(name in subfolders for name in TRAIN_FOLDERS)
    has_test = any(name in subfolders for name in TEST_FOLDERS)
    only_splits = all(name in TRAIN_FOLDERS + TEST_FOLDERS for name in subfolders)
    return (has_train and has_test) or (bool(subfolders) and only_splits)


def _list_split_folder(root: Path, split: str, subfolders: list[str]) -> Listing:
    wanted = TRAIN_FOLDERS if split == "train" else TEST_FOLDERS
    present = [name for name in wanted if name in subfolders]
    if not present:
        raise DataError(f"There is no folder {root / wanted[0]} with {split} images.")
    # The names of all splits together give a class the same number in each.
    splits = [name for name in TRAIN_FOLDERS + TEST_FOLDERS if name in subfolders]
    classes = sorted({name for part in splits for name in _subfolders(root / part)})
    chosen = root / present[0]
    paths = scan(chosen)
    labels = _labels(paths, chosen, classes)
    if max(labels, default=-1) < 0:
        return paths, None, ()
    return paths, labels, tuple(classes)


def _list_hashed_split(root: Path, split: str, classes: list[str]) -> Listing:
    paths = scan(root)
    labels = _labels(paths, root, classes)
    members: dict[int, list[Path]] = defaultdict(list)
    for path, label in zip(paths, labels):
        members[label].append(path)
    held_out: set[Path] = set()
    for label, group in members.items():
        if label >= 0:
            group.sort(key=lambda path: hashlib.sha256(_key(path, root)).digest())
            held_out.update(group[: round(TEST_SHARE * len(group))])
    kept = [i for i, path in enumerate(paths) if (path in held_out) == (split == "test")]
    return [paths[i] for i in kept], [labels[i] for i in kept], tuple(classes)


def _labels(paths: list[Path], root: Path, classes: list[str]) -> list[int]:
    numbers = {name: number for number, name in enumerate(classes)}
    parts = [path.relative_to(root).parts for path in paths]
    return [numbers[part[0]] if len(part) > 1 else -1 for part in parts]


def _key(path: Path, root: Path) -> bytes:
    return os.fsencode(path.relative_to(root).as_posix())
