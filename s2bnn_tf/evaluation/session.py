"""A model opened for evaluation, together with its images and the place of its results."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from s2bnn_tf import __version__
from s2bnn_tf.data import ImageSource, open_source
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation.feature_cache import FeatureCache
from s2bnn_tf.evaluation.features import Output, Progress
from s2bnn_tf.evaluation.results import results_dir
from s2bnn_tf.files import write_json
from s2bnn_tf.runs import LoadedEncoder, open_encoder
from s2bnn_tf.tflite import TFLiteEncoder


class Session:
    """What every measure needs: the encoder, labeled images of both splits, the cache.

    Args:
        path: a run directory or a `.tflite`.
        data: the images, as for `open_source`; by default those it was trained on.
        progress: told after each batch.
        batch_size: images encoded at a time.
        runtime: what runs a `.tflite`, as for `open_encoder`.

    Attributes:
        encoder: as of `open_encoder`.
        data: the source of images.
        directory: where results go; one of its own for images that are not the model's.

    Raises:
        UserError: if the model cannot be opened or does not say what it was made from.
    """

    def __init__(
        self,
        path: Path | str,
        data: str | None = None,
        *,
        progress: Progress | None = None,
        batch_size: int = 256,
        runtime: str | None = None,
    ):
        self.path = Path(path)
        self.encoder: LoadedEncoder | TFLiteEncoder = open_encoder(path, runtime)
        self.progress = progress
        self.batch_size = batch_size
        own = self.encoder.data_source
        if data is None and own is None:
            raise UserError(
                f"{self.encoder.path} does not say which images it was made from: "
                "name some with --data."
            )
        self.data: str = data or own or ""
        transfer = self.data if own is not None and self.data != own else None
        self.directory = results_dir(path, transfer)
        self._cache = FeatureCache(path)

    @cached_property
    def train(self) -> ImageSource:
        """The labeled training images; UserError if there are none."""
        return _only_labeled(open_source(self.data, "train"))

    @cached_property
    def test(self) -> ImageSource:
        """The labeled test images; UserError if there are none."""
        return _only_labeled(open_source(self.data, "test"))

    def extract(
        self, source: ImageSource, output: Output = "features"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (features float32 (N, C), labels int64 (N,)), from the cache where they are."""
        return self._cache.extract(
            self.encoder,
            source,
            batch_size=self.batch_size,
            output=output,
            progress=self.progress,
        )

    def write(self, name: str, result: dict) -> dict:
        """Write `name`.json: the result and what it was measured on. Returns all of it.

        Read a year later, a file has to say by itself what its numbers mean.
        """
        encoder = self.encoder
        opened = [vars(self)[split] for split in ("train", "test") if split in vars(self)]
        whole = {
            "metric": name,
            **result,
            "model": encoder.name,
            "data": self.data,
            **({"classes": len(opened[-1].class_names)} if opened else {}),
            "unreadable_images": sum(len(source.unreadable) for source in opened),
            "size_bytes": encoder.size_bytes,
            "feature_dim": encoder.feature_dim,
            "image_size": encoder.image_size,
            "center_crop": encoder.center_crop,
            **({"runtime": encoder.runtime} if isinstance(encoder, TFLiteEncoder) else {}),
            "version": __version__,
        }
        write_json(self.directory / f"{name}.json", whole)
        return whole


def _only_labeled(source: ImageSource) -> ImageSource:
    if source.labels is None or max(source.labels, default=-1) < 0:
        raise UserError(
            f"The {source.split} images of {source.name} have no labels to compare with: sort "
            "them into one subfolder per class, or name a labeled source with --data."
        )
    return source.select(np.flatnonzero(source.labels >= 0))
