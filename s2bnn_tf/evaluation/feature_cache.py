"""Features kept on disk, so that no network encodes the same image twice."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

import numpy as np

from s2bnn_tf import __version__
from s2bnn_tf.data import ImageSource
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.evaluation.arrays import FloatArray, IntArray
from s2bnn_tf.evaluation.features import ImageEncoder, Output, extract_features
from s2bnn_tf.evaluation.results import results_dir
from s2bnn_tf.files import save_arrays
from s2bnn_tf.progress import Progress
from s2bnn_tf.reading import Array, read_npz
from s2bnn_tf.teachers import model_files

log = logging.getLogger(__name__)

_DIGITS = 16  # hexadecimal digits kept of a hash: 64 bits
_OURS = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.npz")  # nothing else is ever removed


class FeatureCache:
    """The features of one model, found again by what they were made from.

    A file's name is a hash of the network (weights and recipe, or the whole `.tflite`), and one
    of the images and their preparation. Neither paths nor dates count: a run that was trained
    further, or an image that was changed, is encoded again. Files of earlier weights are removed.

    Args:
        path: The model, as for `open_model`.
    """

    def __init__(self, path: Path | str):
        self.directory = results_dir(path) / "features"
        self.network = _hash_network(model_files(path))

    def extract(
        self,
        encoder: ImageEncoder,
        source: ImageSource,
        *,
        batch_size: int = 256,
        output: Output = "features",
        progress: Progress | None = None,
    ) -> tuple[FloatArray, IntArray]:
        """Return the result of `extract_features`, read from disk if it was kept."""
        made_from = _hash_source(
            source,
            __version__,
            encoder.image_size,
            encoder.channels,
            encoder.center_crop,
            output,
            encoder.preparation,
            encoder.runtime,  # two runtimes agree only up to rounding
        )
        file = self.directory / f"{self.network}-{made_from}.npz"
        known = _load(file, source)
        if known is not None:
            return known
        features, labels = extract_features(
            encoder, source, batch_size=batch_size, output=output, progress=progress
        )
        self._save(file, features, labels, source)
        return features, labels

    def _save(
        self, file: Path, features: FloatArray, labels: IntArray, source: ImageSource
    ) -> None:
        failures = {i: source.failure(i) for i in range(len(source))}
        reasons = {row: reason for row, reason in failures.items() if reason is not None}
        arrays = {
            "features": features,
            "labels": labels,
            "unreadable": np.array(list(reasons), np.int64),
            "reasons": np.array(list(reasons.values()), np.str_),
        }
        try:
            save_arrays(file, arrays)
            for old in self.directory.glob("*.npz"):
                if _OURS.fullmatch(old.name) and not old.name.startswith(f"{self.network}-"):
                    old.unlink(missing_ok=True)
        except OSError as error:  # the features are in memory: only time is lost
            log.warning("Features are not kept in %s: %s.", self.directory, error.strerror)


def _load(file: Path, source: ImageSource) -> tuple[FloatArray, IntArray] | None:
    """Read features; None if there are none, or they are damaged and must be made again."""
    wanted = {
        "features": Array("f", ("rows", "channels")),
        "labels": Array("iu", ("rows",), low=-1),
        "unreadable": Array("iu", ("failures",), low=0, high=len(source) - 1),
        "reasons": Array("U", ("failures",)),
    }
    try:
        arrays = read_npz(file, wanted, cure="they are made again")
    except (FileNotFoundError, CheckpointError):
        return None
    if len(arrays["features"]) + len(arrays["unreadable"]) != len(source):
        return None
    for row, reason in zip(arrays["unreadable"], arrays["reasons"], strict=True):
        source.note_failure(int(row), str(reason))
    return arrays["features"], arrays["labels"]


def _hash_network(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()[:_DIGITS]


def _hash_source(source: ImageSource, *preparation: object) -> str:
    digest = hashlib.sha256(repr(preparation).encode())
    if source.labels is not None:
        digest.update(np.ascontiguousarray(source.labels).tobytes())
    for content in source.contents():
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]
