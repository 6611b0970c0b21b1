"""Images in, features out: each image is encoded once, in the order of its source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np

from s2bnn_tf.data import ImageSource, labeled_dataset
from s2bnn_tf.errors import UserError

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much is done, of how much)."""

Output = Literal["features", "embedding"]


class ImageEncoder(Protocol):
    """What is needed of a model to encode images; `open_encoder` returns such ones.

    Attributes:
        name: shown to the user.
        image_size: side S of its square input in pixels.
        center_crop: fraction of the shorter side that evaluation keeps.
        feature_dim: channels C of the features.
    """

    name: str
    image_size: int
    center_crop: float
    feature_dim: int

    def features(self, images: np.ndarray) -> np.ndarray:
        """Encode RGB images 0-255 (B, S, S, 3): float32 (B, C)."""
        ...

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Encode RGB images 0-255 (B, S, S, 3): float32 (B, D) of unit length."""
        ...


def extract_features(
    encoder: ImageEncoder,
    source: ImageSource,
    *,
    batch_size: int = 256,
    output: Output = "features",
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Encode every readable image of a source.

    Args:
        encoder: as returned by `s2bnn_tf.runs.open_encoder`.
        source: the images; unreadable ones are skipped (see `readable`).
        batch_size: images at a time; it changes the memory needed, not the result.
        output: "features" (pooled backbone) or "embedding" (head output, unit length).
        progress: told after each batch.

    Returns:
        (features float32 (N, D), labels int64 (N,)), -1 where an image has no label.

    Raises:
        UserError: if no image can be read or a feature is not finite.
    """
    dataset = labeled_dataset(
        source,
        image_size=encoder.image_size,
        batch_size=batch_size,
        center_crop=encoder.center_crop,
    )
    encode = encoder.features if output == "features" else encoder.embed
    features, labels, done = [], [], 0
    for images, batch_labels in dataset.as_numpy_iterator():
        features.append(encode(images))
        labels.append(batch_labels)
        done += len(images)
        if progress is not None:
            progress(f"{encoder.name}: {source.name} {source.split}", done, len(source))
    if not features:
        raise UserError(f"No image of {source.name} ({source.split}) can be read: check the files.")
    result = np.concatenate(features)
    if not np.isfinite(result).all():
        raise UserError(
            f"{encoder.name} gives features that are not finite, so the run diverged: "
            "train it again with a smaller learning rate."
        )
    return result, np.concatenate(labels)


def readable(source: ImageSource) -> ImageSource:
    """Return the images that `extract_features` has encoded, row by row of its result.

    Only meaningful after the extraction, which is what finds unreadable files.
    """
    if not source.unreadable:
        return source
    return source.select([i for i in range(len(source)) if source.failure(i) is None])
