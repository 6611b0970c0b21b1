"""Images in, features out: each image is encoded once, in the order of its source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from s2bnn_tf.data import ImageSource, labeled_dataset
from s2bnn_tf.errors import DataError, ModelError
from s2bnn_tf.evaluation.arrays import FloatArray, IntArray
from s2bnn_tf.image_size import ImageSize
from s2bnn_tf.progress import Progress
from s2bnn_tf.teachers import teacher_failures

Output = Literal["features", "embedding"]


class ImageEncoder(Protocol):
    """A model that encodes images, as `s2bnn_tf.teachers.open_model` returns it.

    Attributes:
        name: The name that the user sees.
        path: The run directory or the file.
        image_size: The side of the input in pixels, or its height and width.
        channels: The channels of the input: 3 for RGB, 1 for gray.
        center_crop: The fraction of the shorter side that evaluation keeps, in (0, 1]; None if
            the whole picture is squashed to the size.
        feature_dim: The number of features F.
        data_source: The images it was trained on, as for `open_source`; None if unknown.
        size_bytes: The size of the file, or of a backbone's weights: 1 bit each where binary.
        head: What the output of a `.tflite` is: "none" (features), "projection" or "linear";
            None for other models, which have features and embeddings.
        labels: The class names, if the output is logits.
        runtime: What runs a `.tflite`; None for other models.
        preparation: What else its features depend on, beside its files and this; a text.
    """

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> Path: ...

    @property
    def image_size(self) -> ImageSize: ...

    @property
    def channels(self) -> int: ...

    @property
    def center_crop(self) -> float | None: ...

    @property
    def feature_dim(self) -> int: ...

    @property
    def data_source(self) -> str | None: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def head(self) -> str | None: ...

    @property
    def labels(self) -> Sequence[str] | None: ...

    @property
    def runtime(self) -> str | None: ...

    @property
    def preparation(self) -> str: ...

    def features(self, images: FloatArray) -> FloatArray:
        """Encode images 0-255 `(B, H, W, C)` as features, float32 `(B, F)`."""
        ...

    def embed(self, images: FloatArray) -> FloatArray:
        """Encode images 0-255 `(B, H, W, C)` as embeddings of unit length `(B, D)`."""
        ...

    def project(self, features: FloatArray) -> FloatArray:
        """Turn features `(B, F)` into embeddings of unit length `(B, D)`."""
        ...


def extract_features(
    encoder: ImageEncoder,
    source: ImageSource,
    *,
    batch_size: int = 256,
    output: Output = "features",
    progress: Progress | None = None,
) -> tuple[FloatArray, IntArray]:
    """Encode every readable image of a source.

    Args:
        encoder: A model, as `s2bnn_tf.teachers.open_model` returns it.
        source: The images; unreadable ones are skipped (see `readable`).
        batch_size: The number of images encoded at a time, which changes the memory needed and
            not the result.
        output: "features" (pooled backbone) or "embedding" (head output, unit length).
        progress: Called after each batch.

    Returns:
        The features, float32 `(N, D)`, and the labels, int64 `(N,)`, -1 where there is none.

    Raises:
        DataError: If no image can be read.
        ModelError: If a feature is not finite.
    """
    dataset = labeled_dataset(
        source,
        image_size=encoder.image_size,
        batch_size=batch_size,
        center_crop=encoder.center_crop,
        channels=encoder.channels,
    )
    encode = encoder.features if output == "features" else encoder.embed
    features, labels, done = [], [], 0
    for images, batch_labels in dataset.as_numpy_iterator():
        with teacher_failures():
            features.append(encode(images))
        labels.append(batch_labels)
        done += len(images)
        if progress is not None:
            progress(f"{encoder.name}: {source.name} {source.split}", done, len(source))
    if not features:
        raise DataError(f"No image of {source.name} ({source.split}) can be read; check the files.")
    result = np.concatenate(features)
    if not np.isfinite(result).all():
        raise ModelError(
            f"{encoder.name} gives features that are not finite, so its training diverged; "
            "train it again with a smaller learning rate."
        )
    return result, np.concatenate(labels)


def readable(source: ImageSource) -> ImageSource:
    """Return the images that `extract_features` has encoded, in the order of its rows.

    It is meaningful only after the extraction, which is what finds unreadable files.
    """
    if not source.unreadable:
        return source
    return source.select([i for i in range(len(source)) if source.failure(i) is None])
