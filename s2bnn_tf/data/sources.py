"""Opening images by name, such as `digits`, `folder:` and `list:`, or by their files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from s2bnn_tf.data.array_source import ArraySource
from s2bnn_tf.data.digits import load_digits
from s2bnn_tf.data.file_source import FileSource, RecordSource
from s2bnn_tf.data.folder import Listing, list_folder, list_video
from s2bnn_tf.data.idx import load_idx
from s2bnn_tf.data.image_source import ImageSource
from s2bnn_tf.data.list_file import read_list
from s2bnn_tf.data.pictures import find_pictures
from s2bnn_tf.data.readable import keep_readable, require_one_readable
from s2bnn_tf.data.records import Index, open_index, open_tfds
from s2bnn_tf.data.registry import open_registered
from s2bnn_tf.data.video import default_frames_dir
from s2bnn_tf.errors import DataError
from s2bnn_tf.registry import needed_plugins
from s2bnn_tf.text import printable

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
            `video:FILE`: the frames of one video; `video:DIR` is a folder.
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
    registered = open_registered(spec, split)
    if registered is not None:
        return registered
    raise DataError(f"Unknown data source {spec!r}{needed_plugins()}; write {KNOWN_SOURCES}.")


def open_images(paths: Sequence[Path], shard: tuple[int, int] = (1, 1)) -> FileSource:
    """Open image files, and all images in folders, without labels.

    Args:
        paths: Files and folders. Unreadable files are left out, with one warning.
        shard: Which part of the images, and of how many, from 1 on; all parts after each other are
            the images.

    Returns:
        The images, in the order given; those of a folder are sorted.

    Raises:
        DataError: If a path does not exist, the part is empty, or no image can be read.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"There is no image or folder {path}; check the path.")
        files += _pictures_below(path) if path.is_dir() else [path]
    name = ", ".join(str(path) for path in paths[:_NAMED])
    if len(paths) > _NAMED:
        name += f" and {len(paths) - _NAMED:,} others"
    if not files:
        raise DataError(f"There is no image in {name}; expected files such as JPEG or PNG.")
    number, count = shard
    part = files[len(files) * (number - 1) // count : len(files) * number // count]
    if not part:
        raise DataError(f"Part {number} of {count} of {len(files)} images is empty; use fewer.")
    return _open_files(name, "train", part, None, ())


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
    return _open_files(spec, split, listing.paths, listing.labels, listing.class_names)


def _pictures_below(folder: Path) -> list[Path]:
    """List the pictures of a folder; say what was left out."""
    found = find_pictures(folder)
    reasons = [f"{count} {reason}" for reason, count in found.left_out.items()] + found.closed
    if reasons:
        logger.info("%s: left out: %s.", printable(str(folder)), printable(", ".join(reasons)))
    return found.paths


def _open_files(
    name: str,
    split: str,
    paths: Sequence[Path],
    labels: Sequence[int] | None,
    class_names: tuple[str, ...],
) -> FileSource:
    numbers = None if labels is None else np.array(labels, np.int64)
    unknown = np.zeros((len(paths), 2), np.int32)
    return keep_readable(FileSource(name, split, numbers, class_names, unknown, tuple(paths)))


def _open_records(name: str, split: str, index: Index) -> RecordSource:
    if index.sizes is None:
        unknown = np.zeros((len(index.records), 2), np.int32)
        return keep_readable(
            RecordSource(name, split, index.labels, index.class_names, unknown, index.records)
        )
    source = RecordSource(name, split, index.labels, index.class_names, index.sizes, index.records)
    require_one_readable(source)
    return source
