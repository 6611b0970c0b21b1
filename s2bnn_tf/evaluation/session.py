"""A model opened for evaluation, together with its images and the place of its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_tf import __version__
from s2bnn_tf.data import ImageSource, open_source
from s2bnn_tf.errors import DataError
from s2bnn_tf.evaluation.arrays import FloatArray, IntArray
from s2bnn_tf.evaluation.feature_cache import FeatureCache
from s2bnn_tf.evaluation.features import ImageEncoder, Output
from s2bnn_tf.evaluation.results import results_dir
from s2bnn_tf.files import write_json
from s2bnn_tf.image_size import plain_size
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import open_encoder

_SPLITS = ("train", "test")


class Session:
    """What every measure needs: the encoder, labeled images of both splits, and the cache.

    Args:
        path: A run directory or a `.tflite`.
        data: The images, as for `open_source`; defaults to those it was trained on.
        progress: Called after each batch.
        batch_size: The number of images encoded at a time.
        runtime: What runs a `.tflite`, as for `open_encoder`.
        most: The largest number of images of each split; see `some_of`. Defaults to all.

    Attributes:
        encoder: The opened model.
        data: The source of the images.
        directory: The directory of the results. Images other than those the model was trained
            on have a separate one.

    Raises:
        DataError: If no images are named and the model does not record any.
        UserError: If the model cannot be opened.
    """

    def __init__(
        self,
        path: Path | str,
        data: str | None = None,
        *,
        progress: Progress | None = None,
        batch_size: int = 256,
        runtime: str | None = None,
        most: int | None = None,
    ):
        self.path = Path(path)
        self.encoder: ImageEncoder = open_encoder(path, runtime)
        self.progress = progress
        self.batch_size = batch_size
        self.most = most
        own = self.encoder.data_source
        if data is None and own is None:
            raise DataError(
                f"{self.encoder.path} does not record which images it was trained on; "
                "name some with --data."
            )
        self.data: str = data or own or ""
        transfer = self.data if own is not None and self.data != own else None
        self.directory = results_dir(path, transfer)
        self._cache = FeatureCache(path)
        self._opened: dict[str, ImageSource] = {}

    @property
    def train(self) -> ImageSource:
        """The labeled training images; DataError if there are none."""
        return self._labeled("train")

    @property
    def test(self) -> ImageSource:
        """The labeled test images; DataError if there are none."""
        return self._labeled("test")

    def extract(
        self, source: ImageSource, output: Output = "features"
    ) -> tuple[FloatArray, IntArray]:
        """Return features, float32 `(N, C)`, and labels, int64 `(N,)`, from the cache if kept."""
        return self._cache.extract(
            self.encoder,
            source,
            batch_size=self.batch_size,
            output=output,
            progress=self.progress,
        )

    def write(self, name: str, result: dict[str, Any]) -> dict[str, Any]:
        """Write `name`.json, the result with all that it was measured on, and return its content.

        A file that is read a year later has to explain its numbers by itself.
        """
        encoder = self.encoder
        opened = [self._opened[split] for split in _SPLITS if split in self._opened]
        whole = {
            "metric": name,
            **result,
            "model": encoder.name,
            "data": self.data,
            **({"classes": len(opened[-1].class_names)} if opened else {}),
            "unreadable_images": sum(len(source.unreadable) for source in opened),
            "size_bytes": encoder.size_bytes,
            "feature_dim": encoder.feature_dim,
            "image_size": plain_size(encoder.image_size),
            "channels": encoder.channels,
            "center_crop": encoder.center_crop,
            **({"runtime": encoder.runtime} if encoder.runtime is not None else {}),
            "version": __version__,
        }
        write_json(self.directory / f"{name}.json", whole)
        return whole

    def _labeled(self, split: str) -> ImageSource:
        if split not in self._opened:
            self._opened[split] = some_of(_only_labeled(open_source(self.data, split)), self.most)
        return self._opened[split]


def some_of(source: ImageSource, most: int | None) -> ImageSource:
    """Draw up to `most` images, always the same ones, in their order; None takes all."""
    if most is None or len(source) <= most:
        return source
    return source.select(np.sort(np.random.default_rng(0).permutation(len(source))[:most]))


def _only_labeled(source: ImageSource) -> ImageSource:
    if source.labels is None or max(source.labels, default=-1) < 0:
        raise DataError(
            f"The {source.split} images of {source.name} have no labels to compare with; sort "
            "them into one subfolder per class, or name a labeled source with --data."
        )
    if len(np.unique(source.labels[source.labels >= 0])) < 2:
        raise DataError(
            f"The {source.split} images of {source.name} are all of one class, which any model "
            "tells apart; sort them into one subfolder per class, or name labeled images with "
            "--data."
        )
    return source.select(np.flatnonzero(source.labels >= 0))
