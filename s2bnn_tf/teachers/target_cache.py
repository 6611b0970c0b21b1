"""A teacher's outputs for crops that are drawn once, computed once and kept on disk.

The folder holds `targets.npy`, float16 `(N * K, D)`, `crops.npz`, and `targets.json`, which is
written last: without it nothing counts. It names what the targets were made from, and the digests
of both files, so that those of another teacher, of other pictures, or damaged ones are made
again. While they are made, `targets.part` grows and `begun.json` says how far it is whole.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.data import Crops, ImageSource, crop_dataset
from s2bnn_tf.errors import CheckpointError, UserError
from s2bnn_tf.files import flush, refuse_links, replaced, sha256, write_arrays, write_json
from s2bnn_tf.image_size import ImageSize
from s2bnn_tf.progress import Progress
from s2bnn_tf.reading import Array, Field, Number, Text, read_json, read_npz
from s2bnn_tf.teachers.stored_targets import StoredTargets

log = logging.getLogger(__name__)

_AT_ONCE = 64  # crops that the teacher sees
_SAVE_SECONDS = 20.0
_BYTES = 2  # of a number in float16
_BEGUN: dict[str, Field] = {
    "made_from": Text(),
    "rows": Number(low=0, whole=True),
    "dim": Number(low=1, whole=True),
}
_DONE: dict[str, Field] = {**_BEGUN, "targets_sha256": Text(), "crops_sha256": Text()}


class TargetCache:
    """The stored targets in a folder.

    Args:
        folder: The folder, which need not exist.
        made_from: A digest of everything that the targets depend on.

    Raises:
        CheckpointError: If a file in the folder is a symbolic link.
    """

    def __init__(self, folder: Path, made_from: str):
        self.folder = folder
        self.made_from = made_from
        self.targets = folder / "targets.npy"
        self.crops = folder / "crops.npz"
        self.record = folder / "targets.json"
        self.part = folder / "targets.part"
        self.begun = folder / "begun.json"
        refuse_links(folder, self.targets, self.crops, self.record, self.part, self.begun)

    def open(self, *, quiet: bool = False) -> StoredTargets | None:
        """Open what was stored.

        Args:
            quiet: Whether to say nothing about what does not fit.

        Returns:
            The targets; None if there are none, or they have to be made again, which is said.
        """
        try:
            known = read_json(self.record, _DONE, cure="it is made again")
            if known["made_from"] != self.made_from:
                why = "are of another teacher, of other pictures or of another recipe"
            elif (known["targets_sha256"], known["crops_sha256"]) != (
                sha256(self.targets),
                sha256(self.crops),
            ):
                why = "were changed or damaged since"
            else:
                return StoredTargets(*self._load(known["rows"], known["dim"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = f"cannot be read ({str(error).rstrip('.')})"
        if not quiet:
            log.warning("The stored targets in %s %s; they are made again.", self.folder, why)
        return None

    def fill(
        self,
        crops: Crops,
        batches: Callable[[int], tf.data.Dataset],
        compute: Callable[[tf.Tensor], tf.Tensor],
        images_at_once: int,
        progress: Progress,
    ) -> StoredTargets:
        """Compute the targets of all crops, or the rest of them after an interruption.

        Args:
            crops: K crops of N images.
            batches: A function from the first image to a dataset of all crops from there on.
            compute: The teacher, from crops `(images_at_once * K, H, W, C)` to targets of unit
                length `(images_at_once * K, D)`.
            images_at_once: The number of images in a batch.
            progress: Called with the number of crops that are done.

        Raises:
            CheckpointError: If the folder cannot be written to.
        """
        rows = crops.boxes.shape[0] * crops.count
        try:
            with self._only_with_rows():
                self.folder.mkdir(parents=True, exist_ok=True)
                done, dim = self._begin(crops)
                with self.part.open("r+b") as file:
                    file.truncate(done * dim * _BYTES)
                    file.seek(0, os.SEEK_END)
                    outputs = map(compute, batches(done // crops.count))
                    dim = self._append(file, outputs, (done, rows, dim), progress)
                self._finish(rows, dim)
        except OSError as error:
            raise CheckpointError(
                f"Cannot write the teacher's targets to {self.folder}: {error.strerror}; make "
                "room, or set teacher.crops to fewer."
            ) from error
        return StoredTargets(*self._load(rows, dim))

    @contextlib.contextmanager
    def _only_with_rows(self) -> Iterator[None]:
        """Remove what the body has begun if it fails before there is a row to go on from."""
        try:
            yield
        except BaseException:
            if not self.begun.exists():
                for path in (self.crops, self.part):
                    with contextlib.suppress(OSError):
                        path.unlink()
            raise

    def _append(
        self,
        file: Any,
        outputs: Iterable[tf.Tensor],
        state: tuple[int, int, int],
        progress: Progress,
    ) -> int:
        """Write outputs behind the rows that are done, of all rows, and return their width."""
        done, rows, dim = state
        saved = time.monotonic()
        try:
            for output in outputs:
                found = np.asarray(output, np.float16)[: rows - done]
                if not np.isfinite(found).all():
                    raise CheckpointError("teacher.weights: its outputs are not finite numbers.")
                dim = found.shape[1]
                if not done:
                    self._check_room(rows * dim * _BYTES)
                file.write(np.ascontiguousarray(found).tobytes())
                done += len(found)
                progress("Storing the teacher's targets", done, rows)
                if time.monotonic() - saved > _SAVE_SECONDS:
                    self._save(file, done, dim)
                    saved = time.monotonic()
        finally:  # after Ctrl-C, too
            if done:
                self._save(file, done, dim)
        return dim

    def _begin(self, crops: Crops) -> tuple[int, int]:
        """How many rows are whole, and their width; 0 where nothing is begun."""
        try:
            known = read_json(self.begun, _BEGUN, cure="it is made again")
            size = known["rows"] * known["dim"] * _BYTES
            whole = self.part.stat().st_size >= size and self.crops.is_file()
            if known["made_from"] == self.made_from and whole:
                return known["rows"], known["dim"]
        except (FileNotFoundError, UserError):
            pass
        for path in (self.record, self.begun, self.targets):
            path.unlink(missing_ok=True)
        with replaced(self.crops, self.part) as (partial, _):
            write_arrays(partial, {"boxes": crops.boxes, "flips": crops.flips})
        return 0, 1

    def _check_room(self, size: int) -> None:
        free = shutil.disk_usage(self.folder).free
        log.info("The teacher's targets take %.0f MiB in %s.", size / 2**20, self.folder)
        if size > free:
            raise OSError(0, f"they take {size / 2**20:,.0f} MiB, and {free / 2**20:,.0f} are free")

    def _save(self, file: Any, rows: int, dim: int) -> None:
        file.flush()
        os.fsync(file.fileno())
        write_json(self.begun, {"made_from": self.made_from, "rows": rows, "dim": dim})

    def _finish(self, rows: int, dim: int) -> None:
        """Put a header before the numbers, and write down what they are."""
        with replaced(self.targets) as (partial,):
            written = np.lib.format.open_memmap(partial, "w+", np.float16, (rows, dim))
            part = np.memmap(self.part, np.float16, "r", shape=(rows, dim))
            for first in range(0, rows, 2**16):
                written[first : first + 2**16] = part[first : first + 2**16]
            written.flush()
        digests = {"targets_sha256": sha256(self.targets), "crops_sha256": sha256(self.crops)}
        facts = {"made_from": self.made_from, "rows": rows, "dim": dim}
        write_json(self.record, {**facts, **digests})
        self.part.unlink()
        self.begun.unlink()
        flush(self.folder)

    def _load(self, rows: int, dim: int) -> tuple[NDArray[Any], Crops]:
        wanted = {
            "boxes": Array("f", ("images", "crops", 4), low=0.0),
            "flips": Array("b", ("images", "crops")),
        }
        found = read_npz(self.crops, wanted, cure="it is made again")
        targets = np.load(self.targets, mmap_mode="r", allow_pickle=False)
        crops = Crops(found["boxes"], found["flips"])
        if targets.shape != (rows, dim) or rows != crops.flips.size or targets.dtype != np.float16:
            raise ValueError("they have another shape than was written")
        return targets, crops


def fill_from_teacher(
    cache: TargetCache,
    teacher: Encoder,
    source: ImageSource,
    crops: Crops,
    *,
    image_size: ImageSize,
    channels: int,
    progress: Progress,
) -> StoredTargets:
    """Let a teacher compute its targets for crops of all images, and keep them.

    Args:
        cache: Where they are kept.
        teacher: An encoder of views.
        source: The images.
        crops: The crops of each of them.
        image_size: The size of a view, which the crops become.
        channels: The channels of a view.
        progress: Called with the number of crops that are done.

    Raises:
        CheckpointError: If they cannot be written.
    """
    images = max(1, _AT_ONCE // crops.count)

    def batches(first: int) -> tf.data.Dataset:
        return crop_dataset(
            source, crops, image_size=image_size, channels=channels, images=images, first=first
        )

    compute = tf.function(lambda views: teacher(views, training=False))
    return cache.fill(crops, batches, compute, images, progress)
