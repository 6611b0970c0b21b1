"""Opening images by name, such as `digits`, `folder:` and `list:`, or by their files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, groupby
from pathlib import Path

import numpy as np

from s2bnn_tf.data.array_source import ArraySource
from s2bnn_tf.data.digits import load_digits
from s2bnn_tf.data.file_source import FileSource, RecordSource
from s2bnn_tf.data.flat import list_pictures
from s2bnn_tf.data.folder import Listing, list_folder, list_video
from s2bnn_tf.data.idx import load_idx
from s2bnn_tf.data.image_source import ImageSource
from s2bnn_tf.data.list_file import read_list
from s2bnn_tf.data.readable import keep_readable, require_one_readable
from s2bnn_tf.data.records import Index, open_index, open_tfds
from s2bnn_tf.data.registry import open_registered, source_names
from s2bnn_tf.data.video import default_frames_dir, is_video
from s2bnn_tf.errors import DataError
from s2bnn_tf.progress import Progress
from s2bnn_tf.registry import needed_plugins

logger = logging.getLogger(__name__)

KNOWN_SOURCES = (
    "digits (scikit-learn's handwritten digits), "
    "idx:DIR (for example idx:/usr/share/datasets/fashion-mnist), "
    "a folder (for example photos, or folder:photos), "
    "list:FILE (one path per line), "
    "video:PATH (frames of a video, or of the videos in a folder), "
    "tfrecord:DIR (written by s2bnn data pack) or tfds:NAME (from TensorFlow Datasets)"
)
_NAMED = 2  # paths in the name of a source that is opened by many


def open_source(spec: str, split: str = "train") -> ImageSource:
    """Open a source of images.

    Args:
        spec: `digits`: the 1,797 handwritten digits of scikit-learn, resized from 8x8 to 32x32.
            `idx:DIR`: a folder of IDX files like those of MNIST and Fashion-MNIST, gzipped or not.
            `folder:DIR`, or the path of a folder alone: a folder of JPEG, PNG, BMP, GIF, WebP,
            TIFF or AVIF files; `list_folder` describes how classes and splits are found. Files
            are checked by their headers; those that cannot be read are left out, with one
            warning. Frames are taken of the videos in it, as `sample_video` does, and kept in
            `default_frames_dir()`.
            `video:FILE`, or the path of a video alone: its frames; `video:DIR` is a folder.
            `list:FILE`: a text file with a path, a class and a split per line; see `read_list`.
            `tfrecord:DIR`: a folder written by `s2bnn data pack`.
            `tfrecord:PATTERN`: files of `tf.train.Example`s with the features `image` and `label`;
            see `records.open_index`.
            `tfds:NAME`: a prepared data set of TensorFlow Datasets.
            `NAME:LOCATION`: what `register_source` knows by that name.
        split: `train` or `test`.

    Returns:
        The images of that split.

    Raises:
        DataError: If the specification is unknown, or there is nothing to read.
    """
    if split not in ("train", "test"):
        raise DataError(f"There is no split {split!r}; choose train or test.")
    kind, _, location = spec.partition(":")
    if kind == "digits" and not location:
        images, labels, names = load_digits(split)
        return ArraySource(spec, split, labels, names, images)
    if kind == "idx" and location:
        images, labels, names = load_idx(Path(location).expanduser(), split)
        return ArraySource(spec, split, labels, names, images)
    if kind == "folder" and location:
        return _open_folder(spec, split, Path(location).expanduser())
    if kind == "video" and location:
        return _open_video(spec, split, Path(location).expanduser())
    if kind == "list" and location:
        return _open_listing(spec, split, read_list(Path(location).expanduser(), split))
    if kind == "tfrecord" and location:
        return _open_records(spec, split, open_index(location, split))
    if kind == "tfds" and location:
        return _open_records(spec, split, open_tfds(location, split))
    if spec and Path(spec).expanduser().is_dir():
        return _open_folder(spec, split, Path(spec).expanduser())
    if is_video(Path(spec)) and Path(spec).expanduser().is_file():
        return _open_video(spec, split, Path(spec).expanduser())
    registered = open_registered(spec, split)
    if registered is not None:
        return registered
    raise DataError(f"Unknown data source {spec!r}{needed_plugins()}; write {KNOWN_SOURCES}.")


def bytes_in_memory(spec: str) -> int:
    """Return the bytes that the images of the training split take as long as they are open.

    Args:
        spec: As for `open_source`. Only sources that are read whole are opened for this.

    Returns:
        0 for those that are read picture by picture, and for what cannot be opened.
    """
    if spec != "digits" and spec.partition(":")[0] != "idx":
        return 0
    try:
        return open_source(spec, "train").bytes_in_memory
    except DataError:  # which training says
        return 0


def has_own_splits(spec: str) -> bool:
    """Whether this names another kind of source than picture files, folders and videos."""
    if Path(spec).expanduser().exists():
        return False
    kinds = ("idx", "list", "tfrecord", "tfds", *source_names())
    return spec == "digits" or spec.partition(":")[0] in kinds


def open_images(images: Sequence[str | Path], progress: Progress | None = None) -> FileSource:
    """Open image files, all images in folders, and the frames of videos, without labels.

    Args:
        images: As for `list_pictures`. Unreadable files are left out, with one warning.
        progress: Called while videos are decoded.

    Returns:
        The images, in the order given; those of a folder are sorted.

    Raises:
        DataError: If something does not exist, a video that is named cannot be decoded, or no
            image can be read.
    """
    return _open_files(_name_of(images), "train", _list_files(images, progress))


def open_all(
    images: Sequence[str | Path],
    shard: tuple[int, int] = (1, 1),
    progress: Progress | None = None,
) -> list[ImageSource]:
    """Open whatever `s2bnn fit` takes: files, folders, videos, and other sources by name.

    Args:
        images: What `open_images` or `open_source` takes. Of a source with splits, both are
            opened.
        shard: Which part of the images, and of how many, from 1 on; all parts after each other are
            the images.
        progress: Called while videos are decoded.

    Returns:
        The images in the order given, in one source or more.

    Raises:
        DataError: Like `open_images` and `open_source`, or if the part is empty.
    """
    found: list[Listing | ImageSource] = []
    for named, group in groupby(map(str, images), has_own_splits):
        specs = list(group)
        found += _open_splits(specs) if named else [_list_files(specs, progress)]
    sizes = [len(f.paths) if isinstance(f, Listing) else len(f) for f in found]
    (number, count), total = shard, sum(sizes)
    begin, end = total * (number - 1) // count, total * number // count
    if begin == end:
        raise DataError(f"Part {number} of {count} of {total} images is empty; use fewer.")
    sources: list[ImageSource] = []
    for part, size, first in zip(found, sizes, accumulate([0, *sizes])):
        chosen = range(max(begin - first, 0), min(end - first, size))
        if not chosen:
            continue
        if isinstance(part, Listing):
            part = replace(part, paths=part.paths[chosen.start : chosen.stop])
            sources.append(_open_files(_name_of(images), "train", part))
        else:
            sources.append(part if len(chosen) == size else part.select(chosen))
    return sources


def _list_files(images: Sequence[str | Path], progress: Progress | None) -> Listing:
    listing = list_pictures(images, progress=progress)
    for line in listing.said.splitlines():
        logger.info("%s", line)
    if not listing.paths:
        raise DataError(
            f"There is no image in {_name_of(images)}; expected files such as JPEG or PNG, or "
            "videos."
        )
    return listing


def _name_of(images: Sequence[str | Path]) -> str:
    name = ", ".join(map(str, images[:_NAMED])) or "an empty list"
    return name + (f" and {len(images) - _NAMED:,} others" if len(images) > _NAMED else "")


def _open_splits(specs: list[str]) -> list[ImageSource]:
    sources = []
    for spec in specs:
        sources.append(open_source(spec, "train"))
        with contextlib.suppress(DataError):  # it has no test split
            sources.append(open_source(spec, "test"))
    return sources


def _open_folder(spec: str, split: str, folder: Path) -> FileSource:
    return _open_listing(spec, split, list_folder(folder, split))


def _open_video(spec: str, split: str, path: Path) -> FileSource:
    if path.is_dir():
        return _open_folder(spec, split, path)
    if split == "test":
        raise DataError(
            f"{spec} is one video, of which no part is held out to test; put several into one "
            "subfolder per class, or let s2bnn fit hold out a part."
        )
    return _open_listing(spec, split, list_video(path, default_frames_dir()))


def _open_listing(spec: str, split: str, listing: Listing) -> FileSource:
    logger.info("%s", listing.said)
    return _open_files(spec, split, listing)


def _open_files(name: str, split: str, listing: Listing) -> FileSource:
    labels = None if listing.labels is None else np.array(listing.labels, np.int64)
    paths, unknown = tuple(listing.paths), np.zeros((len(listing.paths), 2), np.int32)
    return keep_readable(
        FileSource(name, split, labels, listing.class_names, unknown, paths, listing.videos)
    )


def _open_records(name: str, split: str, index: Index) -> RecordSource:
    if index.sizes is None:
        unknown = np.zeros((len(index.records), 2), np.int32)
        return keep_readable(
            RecordSource(name, split, index.labels, index.class_names, unknown, index.records)
        )
    source = RecordSource(name, split, index.labels, index.class_names, index.sizes, index.records)
    require_one_readable(source)
    return source
