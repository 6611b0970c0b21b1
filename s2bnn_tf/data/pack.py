"""Images as a few TFRecord files: in parallel, resumable, every image checked."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from s2bnn_tf.data.decoded_source import DecodedSource
from s2bnn_tf.data.file_source import FileSource, RecordSource
from s2bnn_tf.data.image_source import ImageSource
from s2bnn_tf.data.pictures import failure_reason
from s2bnn_tf.data.records import read_index, read_records
from s2bnn_tf.errors import DataError, file_reason
from s2bnn_tf.files import refuse_links, replaced, write_arrays, write_json, write_text
from s2bnn_tf.locks import DirectoryLock
from s2bnn_tf.progress import Progress
from s2bnn_tf.reading import read_bytes

_IMAGES_PER_FILE = 1000


def pack(
    source: ImageSource, output_dir: Path, *, progress: Progress | None = None
) -> dict[str, int]:
    """Write the images of a source into TFRecord files.

    The bytes of each file are kept as they are after it was decoded once, and images that are in
    no file become PNG; files that cannot be decoded are left out. Images are shuffled, which makes
    every TFRecord file a fair sample. After an interruption, a second call writes only the files
    that are missing.

    Args:
        source: The images.
        output_dir: The folder that receives `SPLIT-*.tfrecord`, an index `.npz` for each, and
            `SPLIT.json`.
        progress: Called with the split, the number of images done and the number of images.

    Returns:
        The number of `images` written, of `files` written and of `unreadable` images left out.

    Raises:
        DataError: If other images were packed into `output_dir`, or it cannot be written.
    """
    order = np.random.default_rng(0).permutation(len(source))
    count = -(-len(source) // _IMAGES_PER_FILE)
    names = [f"{source.split}-{i:05d}-of-{count:05d}.tfrecord" for i in range(count)]
    parts = np.array_split(order, count)
    plan = _plan(source)
    done, counting = 0, threading.Lock()

    def write(name: str, indices: NDArray[np.int64]) -> tuple[int, int]:
        nonlocal done
        kept = _finished(output_dir / name)
        if kept is None:
            kept = _write_file(source, indices, output_dir / name)
        with counting:
            done += len(indices)
            if progress is not None:
                progress(source.split, done, len(source))
        return kept, len(indices) - kept

    with (
        DirectoryLock(output_dir, "`s2bnn data pack`", "choose another folder"),
        _writing_to(output_dir),
    ):
        _check_same_plan(output_dir, source, plan)
        _remove_unfinished(output_dir, source.split)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            counts = list(pool.map(write, names, parts))
        images = sum(kept for kept, _ in counts)
        summary = {
            "plan": plan,
            "source": source.name,
            "images": images,
            "class_names": list(source.class_names),
            "files": names,
        }
        write_json(output_dir / f"{source.split}.json", summary)
    return {"images": images, "files": count, "unreadable": sum(lost for _, lost in counts)}


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Say in one sentence that the folder cannot be written."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        raise DataError(
            f"Cannot write to {folder}: {file_reason(error)}; make room and run the same command "
            "again, which writes only the files that are missing."
        ) from error


def _remove_unfinished(folder: Path, split: str) -> None:
    """Remove the temporary files that a killed process left, and nothing else."""
    ours = re.compile(rf"\.[a-z0-9_]{{8}}-{split}-\d{{5,9}}-of-\d{{5,9}}\.(?:tfrecord|npz)")
    for path in folder.iterdir():
        if ours.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            path.unlink()


def _plan(source: ImageSource) -> str:
    """Return a hash that differs between sources: the labels, and the paths and sizes of files."""
    digest = hashlib.sha256()
    if isinstance(source, FileSource):
        for i, path in enumerate(source.paths):
            line = f"{path} {_label(source, i)} {os.path.getsize(path)}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()
    digest.update(str([_label(source, i) for i in range(len(source))]).encode())
    for content in source.contents():
        digest.update(content)
    return digest.hexdigest()


def _check_same_plan(folder: Path, source: ImageSource, plan: str) -> None:
    path = folder / f".{source.split}.plan"
    refuse_links(path, folder / f"{source.split}.json")
    if path.exists() and read_bytes(path, limit=4096) != plan.encode():
        raise DataError(
            f"{folder} holds images other than those in {source.name}; choose another folder."
        )
    write_text(path, plan)


def _finished(file: Path) -> int | None:
    """Return how many images a finished file holds, or None if it is not finished."""
    refuse_links(file, file.with_suffix(".npz"))
    try:
        return len(read_index(file)["offset"])
    except (OSError, DataError):
        return None


def _write_file(source: ImageSource, indices: NDArray[np.int64], file: Path) -> int:
    """Write one TFRecord file, read it back, and put it in place with its index."""
    index_file = file.with_suffix(".npz")
    with replaced(file, index_file) as (partial, partial_index):
        lengths, sizes, labels = _write_images(source, indices, partial)
        places = []
        for length, (begin, data) in zip(lengths, read_records(partial)):
            image = tf.train.Example.FromString(data).features.feature["image"].bytes_list.value[0]
            assert len(image) == length
            places.append(begin + data.index(image))
        index = {
            "offset": np.array(places, np.int64),
            "length": np.array(lengths, np.int64),
            "size": np.array(sizes, np.int32).reshape(-1, 2),
            "label": np.array(labels, np.int64),
            "bytes": partial.stat().st_size,
        }
        write_arrays(partial_index, index)
    return len(lengths)


def _write_images(
    source: ImageSource, indices: NDArray[np.int64], file: Path
) -> tuple[list[int], list[tuple[int, int]], list[int]]:
    """Write the images that can be decoded; return their lengths in bytes, sizes and labels."""
    lengths, sizes, labels = [], [], []
    with tf.io.TFRecordWriter(str(file)) as writer:
        for index in indices:
            try:
                image, size = _read(source, index)
            except Exception as error:  # noqa: BLE001  a broken file can raise nearly anything
                source.note_failure(index, failure_reason(error))
                continue
            label = _label(source, index)
            writer.write(_example(image, label, str(source.identify(index))))
            lengths.append(len(image))
            sizes.append(size)
            labels.append(label)
    return lengths, sizes, labels


def _read(source: ImageSource, index: int) -> tuple[bytes, tuple[int, int]]:
    """An image as the bytes of a file, and its upright height and width."""
    if isinstance(source, DecodedSource):
        height, width, _ = source.decode(index).shape
        if isinstance(source, FileSource):
            return source.paths[index].read_bytes(), (height, width)
        if isinstance(source, RecordSource):
            return source.records[index].read_bytes(), (height, width)
    pixels, file = source.read(index), io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue(), (pixels.shape[0], pixels.shape[1])


def _label(source: ImageSource, index: int) -> int:
    return -1 if source.labels is None else int(source.labels[index])


def _example(image: bytes, label: int, name: str) -> bytes:
    feature, values = tf.train.Feature, {}
    values["image"] = feature(bytes_list=tf.train.BytesList(value=[image]))
    values["name"] = feature(
        bytes_list=tf.train.BytesList(value=[name.encode(errors="surrogateescape")])
    )
    if label >= 0:
        values["label"] = feature(int64_list=tf.train.Int64List(value=[label]))
    example = tf.train.Example(features=tf.train.Features(feature=values))
    serialized: bytes = example.SerializeToString()
    return serialized
