"""Embed images into an `.npz`, for search, clustering or a classifier of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from s2bnn_tf.data import open_images
from s2bnn_tf.evaluation.features import Progress, extract_features, readable
from s2bnn_tf.files import replace_file
from s2bnn_tf.runs import open_encoder
from s2bnn_tf.tflite import TFLiteEncoder


def embed_images(
    path: Path | str,
    images: Sequence[Path],
    output: Path | str,
    *,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> dict:
    """Write features and embeddings of images to an `.npz`, in the order of its `paths`.

    The file holds `paths` (N,), `features` float32 (N, C) and `embeddings` float32
    (N, D) of unit length; `numpy.load` reads it without pickle.

    Args:
        path: a run directory or a `.tflite`.
        images: image files and folders of them.
        output: the .npz file, replaced atomically.
        runtime: what runs a `.tflite`, as for `open_encoder`.
        progress: told after each batch.

    Returns:
        "output", "images" (N), "skipped" (unreadable files), "feature_dim", "embedding_dim",
        and "runtime" of a `.tflite`.

    Raises:
        UserError: if the model cannot be opened or no image can be read.
    """
    output = Path(output)
    encoder = open_encoder(path, runtime)
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
        **({"runtime": encoder.runtime} if isinstance(encoder, TFLiteEncoder) else {}),
    }
