"""A folder of images as a few TFRecord files: in parallel, resumable, every image checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from s2bnn_tf.data.decode import decode, failure_reason
from s2bnn_tf.data.records import Records, read_records
from s2bnn_tf.data.sources import ImageSource
from s2bnn_tf.errors import UserError
from s2bnn_tf.files import replaced, write_json, write_text

_IMAGES_A_SHARD = 1000


def pack(
    source: ImageSource,
    output_dir: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Write the images of a source, in files, into TFRecord files.

    The bytes of each file are kept as they are, after it was decoded once: what cannot be read
    is left out. Images are shuffled, so that every file is a fair sample. Called again after an
    interruption it goes on with the files that are missing.

    Args:
        source: Opened from a folder.
        output_dir: Gets `SPLIT-*.tfrecord`, an index `.npz` beside each, and `SPLIT.json`.
        progress: Called with the number of images done and in all.

    Returns:
        `images` written, `files` written and `unreadable` images left out.

    Raises:
        UserError: if the source is not of files, or another one was packed there.
    """
    if not source.paths or isinstance(source.paths, Records):
        raise UserError(f"{source.name} is not a folder of images; write folder: and its path.")
    order = np.random.default_rng(0).permutation(len(source))
    count = -(-len(source) // _IMAGES_A_SHARD)
    names = [f"{source.split}-{i:05d}-of-{count:05d}.tfrecord" for i in range(count)]
    shards = np.array_split(order, count)
    plan = _plan(source)
    output_dir.mkdir(parents=True, exist_ok=True)
    _check_same_plan(output_dir, source, plan)
    for killed in output_dir.glob(f".*-{source.split}-*"):
        killed.unlink()
    done = 0

    def write(name: str, indices: np.ndarray) -> tuple[int, int]:
        nonlocal done
        kept = _finished(output_dir / name)
        if kept is None:
            kept = _write_shard(source, indices, output_dir / name)
        done += len(indices)
        progress(done, len(source))
        return kept, len(indices) - kept

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = list(pool.map(write, names, shards))
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


def _plan(source: ImageSource) -> str:
    """Tells one source from another: names, labels and sizes of all files."""
    digest = hashlib.sha256()
    for i, path in enumerate(source.paths):
        label = -1 if source.labels is None else int(source.labels[i])
        digest.update(f"{path} {label} {os.path.getsize(str(path))}\n".encode())
    return digest.hexdigest()


def _check_same_plan(folder: Path, source: ImageSource, plan: str) -> None:
    path = folder / f".{source.split}.plan"
    if path.exists() and path.read_text() != plan:
        raise UserError(
            f"{folder} holds other images than {source.name} has now; choose another folder."
        )
    write_text(path, plan)


def _finished(file: Path) -> int | None:
    """How many images a finished file holds, or None if it is not finished."""
    try:
        with np.load(file.with_suffix(".npz")) as index:
            return len(index["offset"]) if file.stat().st_size == index["bytes"] else None
    except (OSError, ValueError, KeyError):
        return None


def _write_shard(source: ImageSource, indices: np.ndarray, file: Path) -> int:
    """Write one file, read it back, and put it in place with its index."""
    index_file = file.with_suffix(".npz")
    with replaced(file, index_file) as (partial, partial_index):
        lengths, sizes, labels = _write_images(source, indices, partial)
        places = []
        for length, (begin, data) in zip(lengths, read_records(partial)):
            image = tf.train.Example.FromString(data).features.feature["image"].bytes_list.value[0]
            assert len(image) == length
            places.append(begin + data.index(image))
        np.savez(
            partial_index,
            offset=np.array(places, np.int64),
            length=np.array(lengths, np.int64),
            size=np.array(sizes, np.int32).reshape(-1, 2),
            label=np.array(labels, np.int64),
            bytes=partial.stat().st_size,
        )
    return len(lengths)


def _write_images(
    source: ImageSource, indices: np.ndarray, file: Path
) -> tuple[list[int], list[tuple[int, ...]], list[int]]:
    """Write the images that can be decoded: their lengths in bytes, (height, width), labels."""
    lengths, labels = [], []
    sizes: list[tuple[int, ...]] = []
    with tf.io.TFRecordWriter(str(file)) as writer:
        for index in indices:
            path = source.paths[index]
            try:
                upright = decode(path)
            except Exception as error:  # noqa: BLE001  a broken file can raise nearly anything
                source.unreadable[path] = failure_reason(error)
                continue
            image = path.read_bytes()
            label = -1 if source.labels is None else int(source.labels[index])
            writer.write(_example(image, label, str(path)))
            lengths.append(len(image))
            sizes.append((upright.shape[0], upright.shape[1]))
            labels.append(label)
    return lengths, sizes, labels


def _example(image: bytes, label: int, name: str) -> bytes:
    feature, values = tf.train.Feature, {}
    values["image"] = feature(bytes_list=tf.train.BytesList(value=[image]))
    values["name"] = feature(bytes_list=tf.train.BytesList(value=[name.encode()]))
    if label >= 0:
        values["label"] = feature(int64_list=tf.train.Int64List(value=[label]))
    return tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString()
