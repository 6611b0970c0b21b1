"""What a teacher has computed before training, for whole pictures or for crops of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.data import Crops, ImageSource, numpy_op
from s2bnn_tf.errors import CheckpointError, ConfigError
from s2bnn_tf.files import sha256
from s2bnn_tf.teachers.feature_files import FeatureRows, read_features
from s2bnn_tf.teachers.match_features import match_features
from s2bnn_tf.teachers.target_map import fit_target_map
from s2bnn_tf.vectors import unit_length


@dataclass(frozen=True, eq=False)
class StoredTargets:
    """A target for each of K crops of N pictures, or one for each picture.

    Attributes:
        targets: `(N * K, D)` of unit length, float32 or float16, which may be on disk. The row of
            crop k of picture i is `i * K + k`.
        crops: The crops; None if each target is that of a whole picture, whatever of it the
            student sees.
    """

    targets: NDArray[Any]
    crops: Crops | None

    @property
    def embedding_dim(self) -> int:
        """The dimension of a target, D."""
        return int(self.targets.shape[1])

    def look_up(self, places: tf.Tensor) -> tf.Tensor:
        """Return the targets, float32 `(B, D)`, of the places `(B,)`, inside a dataset."""
        dim = self.embedding_dim
        found = numpy_op(
            lambda rows: np.asarray(self.targets[rows], np.float32),
            lambda rows: np.zeros((len(rows), dim), np.float32),
            [places],
            tf.float32,
        )
        return tf.ensure_shape(found, (places.shape[0], dim))


def targets_of_file(teacher: TeacherConfig, source: ImageSource) -> StoredTargets:
    """Read a file of features as the targets of a source.

    Args:
        teacher: `weights` is the file; `output` chooses between its features and embeddings;
            `center`, `reduce_to` and `normalize` are applied to them.
        source: The pictures to train on.

    Raises:
        ConfigError: If there is a second teacher.
        CheckpointError: If the file cannot be read.
        DataError: If it does not belong to these pictures.
    """
    rows = _read(teacher)
    places = match_features(rows, source)
    features = rows.features[places.ravel()]
    if teacher.is_mapped:
        found = fit_target_map(features, teacher.reduce_to, teacher.normalize)
        targets = found.apply(features)
    else:
        targets = unit_length(features)
    return StoredTargets(targets, _crops(rows, places))


def features_of_pictures(rows: FeatureRows, source: ImageSource) -> NDArray[np.float32]:
    """One row for each picture, `(N, C)`: the mean over its crops.

    Raises:
        DataError: As `match_features`.
    """
    return np.asarray(rows.features[match_features(rows, source)].mean(axis=1), np.float32)


def width_of_file(teacher: TeacherConfig) -> int:
    """The dimension of the targets that a file gives.

    Raises:
        ConfigError: If there is a second teacher.
        CheckpointError: If the file cannot be read.
    """
    width = int(_read(teacher).features.shape[1])
    return min(width, teacher.reduce_to or width)


def _read(teacher: TeacherConfig) -> FeatureRows:
    if teacher.beside is not None:
        raise ConfigError(
            f"teacher.beside: {teacher.weights} holds features and no network, and only networks "
            "can be beside each other; leave teacher.beside out, or name the network."
        )
    return read_features(str(teacher.weights), teacher.output)


def check_same_file(weights: str, record: Path, *, begun: bool) -> str:
    """Compare a file of features with the one that a run was begun with.

    Args:
        weights: The file.
        record: The file that holds the digest of the one that the run was begun with, if any.
        begun: Whether the run has begun.

    Returns:
        The digest, to be recorded once the run has really begun.

    Raises:
        CheckpointError: If it is another one.
    """
    digest = sha256(Path(weights))
    known = record.read_text().strip() if begun and record.is_file() else digest
    if known != digest:
        raise CheckpointError(
            f"{weights} is not the file that the run in {record.parents[1]} was begun with; put "
            "that one back, or choose another --output-dir."
        )
    return digest


def fingerprint(source: ImageSource) -> str:
    """A digest of the pictures of a source, which does not read all of a large one.

    It covers their number, their sizes, and the contents of up to 1,000 of them.
    """
    some = np.unique(np.linspace(0, len(source) - 1, min(len(source), 1000)).astype(np.int64))
    digest = hashlib.sha256(f"{len(source)}".encode())
    digest.update(np.ascontiguousarray(source.image_sizes()).tobytes())
    for content in source.select(some).contents():
        digest.update(content)
    return digest.hexdigest()


def _crops(rows: FeatureRows, places: NDArray[np.int64]) -> Crops | None:
    if rows.boxes is None or rows.flips is None:
        return None
    return Crops(rows.boxes[places], rows.flips[places])
