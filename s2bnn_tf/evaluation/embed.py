"""Embed images into an `.npz`, for search, clustering or another classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_tf.data import open_images
from s2bnn_tf.evaluation.features import ImageEncoder, extract_features, readable
from s2bnn_tf.files import replace_file
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import open_encoder


def embed_images(
    path: Path | str,
    images: Sequence[Path],
    output: Path | str,
    *,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the features and embeddings of images to an `.npz`.

    The file holds `paths` (N,), `features` float32 (N, C) and `embeddings` float32 (N, D) of unit
    length, all in the same order; `numpy.load` reads it without pickle.

    Args:
        path: A run directory or a `.tflite`.
        images: Image files and folders of them.
        output: The .npz file, replaced atomically.
        runtime: What runs a `.tflite`, as for `open_encoder`.
        progress: Called after each batch.

    Returns:
        "output", "images" (N), "skipped" (the number of unreadable files), "feature_dim",
        "embedding_dim", and, for a `.tflite`, "runtime".

    Raises:
        DataError: If no image can be read.
        UserError: If the model cannot be opened.
    """
    output = Path(output)
    encoder: ImageEncoder = open_encoder(path, runtime)
    source = open_images(images)
    features, _ = extract_features(encoder, source, progress=progress)
    embeddings = encoder.project(features)
    encoded = readable(source)
    paths = np.array([str(encoded.identify(i)) for i in range(len(encoded))])

    def write(file: Path) -> None:
        with file.open("wb") as stream:
            np.savez(stream, paths=paths, features=features, embeddings=embeddings)

    replace_file(output, write)
    return {
        "output": str(output),
        "images": len(paths),
        "skipped": len(source.unreadable),
        "feature_dim": features.shape[1],
        "embedding_dim": embeddings.shape[1],
        **({"runtime": encoder.runtime} if encoder.runtime is not None else {}),
    }
