"""Where images come from: `digits`, `idx:`, `folder:`, `tfrecord:` and `tfds:`."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from s2bnn_tf.data.decode import failure_reason, load_image, read_size
from s2bnn_tf.data.folder import list_folder, scan
from s2bnn_tf.data.idx import load_idx
from s2bnn_tf.data.records import Index, Record, Records, open_index, open_tfds
from s2bnn_tf.errors import UserError

logger = logging.getLogger(__name__)

KNOWN_SOURCES = (
    "digits (scikit-learn's handwritten digits), "
    "idx:DIR (for example idx:/usr/share/datasets/fashion-mnist), "
    "folder:DIR (for example folder:photos), "
    "tfrecord:DIR (written by s2bnn data pack) or tfds:NAME (of TensorFlow Datasets)"
)
_DIGITS_SIZE = 32
_NAMED_IN_WARNING = 3


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Images of one split, in memory or as files.

    Attributes:
        name: The specification it was opened by.
        split: `train` or `test`.
        labels: `(N,)` int64, -1 for an image without a label; None if there are no classes.
        class_names: The name of each class.
        images: RGB, uint8 of shape `(N, H, W, 3)`; None if the images are files.
        paths: The N files, or records of TFRecord files; empty if the images are in memory.
        sizes: `(N, 2)` int32, upright height and width of each file; None in memory.
        unreadable: Each file that could not be read, with the reason; it grows as files
            turn out to be damaged further in.
    """

    name: str
    split: str
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    images: np.ndarray | None = None
    paths: Sequence[Path | Record] = ()
    sizes: np.ndarray | None = None
    unreadable: dict[Path | Record, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths) if self.images is None else len(self.images)

    def read(self, index: int) -> np.ndarray:
        """Return one image, uint8 RGB of shape `(H, W, 3)`.

        Raises:
            UserError: If its file cannot be read.
        """
        return load_image(self.paths[index]) if self.images is None else self.images[index]

    def select(self, indices: Sequence[int] | np.ndarray) -> ImageSource:
        """Return a source of these images only, in this order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            labels=None if self.labels is None else self.labels[chosen],
            images=None if self.images is None else self.images[chosen],
            paths=_select(self.paths, chosen),
            sizes=None if self.sizes is None else self.sizes[chosen],
        )


def open_source(spec: str, split: str = "train") -> ImageSource:
    """Open a source of images.

    Args:
        spec: `digits`: the 1,797 handwritten digits of scikit-learn, resized from 8x8 to 32x32.
            `idx:DIR`: a folder of IDX files as MNIST and Fashion-MNIST have, gzipped or not.
            `folder:DIR`: a folder of JPEG, PNG, BMP, GIF or WebP files; see `list_folder` for
            how classes and splits are found. Its files are checked by their headers; those
            that cannot be read are left out, with one warning.
            `tfrecord:DIR`: what `s2bnn data pack` wrote; `tfrecord:PATTERN`: files of
            `tf.train.Example`s with the features `image` and `label`, see `records.open_index`.
            `tfds:NAME`: a prepared data set of TensorFlow Datasets.
        split: `train` or `test`.

    Returns:
        The images of that split.

    Raises:
        UserError: If the specification is not known, or there is nothing to read.
    """
    if split not in ("train", "test"):
        raise UserError(f"There is no split {split!r}; choose train or test.")
    kind, _, location = spec.partition(":")
    if kind == "digits" and not location:
        return _open_digits(split)
    if kind == "idx" and location:
        images, labels, names = load_idx(Path(location).expanduser(), split)
        return ImageSource(spec, split, labels, names, images=images)
    if kind == "folder" and location:
        return _open_folder(spec, Path(location).expanduser(), split)
    if kind in ("tfrecord", "tfds") and location:
        index = (open_index if kind == "tfrecord" else open_tfds)(location, split)
        return _open_records(spec, split, index)
    raise UserError(f"Unknown data source {spec!r}; write {KNOWN_SOURCES}.")


def _open_digits(split: str) -> ImageSource:
    # Imported here: scikit-learn takes a second to load and only this source needs it.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train, test = train_test_split(
        np.arange(len(digits.target)), test_size=360, stratify=digits.target, random_state=0
    )
    chosen = np.sort(train if split == "train" else test)
    pixels = np.round(digits.images[chosen] * (255 / 16)).astype(np.uint8)
    images = np.stack([_enlarge_digit(digit) for digit in pixels])
    labels = digits.target[chosen].astype(np.int64)
    return ImageSource("digits", split, labels, tuple("0123456789"), images=images)


def open_images(paths: Sequence[Path]) -> ImageSource:
    """Open image files, and all images in folders, without labels.

    Args:
        paths: Files and folders; unreadable files are left out, with one warning.

    Returns:
        The images, in the order given; those of a folder sorted.

    Raises:
        UserError: If a path does not exist, or no image can be read.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"There is no image or folder {path}; check the path.")
        files += scan(path) if path.is_dir() else [path]
    name = ", ".join(str(path) for path in paths)
    if not files:
        raise UserError(f"There is no image in {name}; expected files of JPEG, PNG or the like.")
    return _open_files(name, "train", files, None, ())


def _enlarge_digit(digit: np.ndarray) -> np.ndarray:
    size = (_DIGITS_SIZE, _DIGITS_SIZE)
    return np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BILINEAR).convert("RGB"))


def _open_folder(spec: str, root: Path, split: str) -> ImageSource:
    return _open_files(spec, split, *list_folder(root, split))


def _open_records(name: str, split: str, index: Index) -> ImageSource:
    if index.sizes is None:
        return _open_files(name, split, index.records, index.labels, index.class_names)
    source = ImageSource(
        name, split, index.labels, index.class_names, paths=index.records, sizes=index.sizes
    )
    _require_one_readable(source)
    return source


def _select(
    paths: Sequence[Path | Record], chosen: np.ndarray | list[int]
) -> Sequence[Path | Record]:
    if isinstance(paths, Records):
        return paths.select(np.asarray(chosen, dtype=np.int64))
    return tuple(paths[i] for i in chosen) if paths else ()


def _open_files(
    name: str,
    split: str,
    paths: Sequence[Path | Record],
    labels: Sequence[int] | np.ndarray | None,
    class_names: tuple[str, ...],
) -> ImageSource:
    """Check the headers of all files and keep those that are images."""
    unreadable: dict[Path | Record, str] = {}

    def size_or_none(path: Path | Record) -> tuple[int, int] | None:
        try:
            return read_size(path)
        except Exception as error:  # noqa: BLE001  a broken file can raise nearly anything inside a decoder
            unreadable[path] = failure_reason(error)
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes = list(pool.map(size_or_none, paths))
    kept = [i for i, size in enumerate(sizes) if size is not None]
    source = ImageSource(
        name,
        split,
        None if labels is None else np.array([labels[i] for i in kept], dtype=np.int64),
        class_names,
        paths=_select(paths, kept),
        sizes=np.array([sizes[i] for i in kept], dtype=np.int32).reshape(-1, 2),
        unreadable=unreadable,
    )
    _require_one_readable(source)
    if unreadable:
        logger.warning(_unreadable_summary(unreadable, len(paths), name))
    return source


def _require_one_readable(source: ImageSource) -> None:
    """Decode images until one succeeds; a header says nothing about a truncated file."""
    for index, path in enumerate(source.paths):
        try:
            source.read(index)
            return
        except UserError as error:
            assert isinstance(error.__cause__, Exception)
            source.unreadable[path] = failure_reason(error.__cause__)
    path, reason = next(iter(sorted(source.unreadable.items())))
    raise UserError(
        f"None of the {len(source.unreadable)} {source.split} images in {source.name} can be read "
        f"({path.name}: {reason}); replace them."
    )


def _by_name(item: tuple[Path | Record, str]) -> str:
    return str(item[0])


def _unreadable_summary(unreadable: dict[Path | Record, str], total: int, name: str) -> str:
    first = sorted(unreadable.items(), key=_by_name)[:_NAMED_IN_WARNING]
    names = ", ".join(f"{path} ({reason})" for path, reason in first)
    more = len(unreadable) - len(first)
    rest = f" and {more} more" if more else ""
    return f"Skipped {len(unreadable)} of {total} images in {name}: {names}{rest}."
