"""Embed images into an `.npz`, for search, clustering or another classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_tf.data import ImageSource, open_images
from s2bnn_tf.evaluation.arrays import FloatArray
from s2bnn_tf.evaluation.feature_cache import FeatureCache
from s2bnn_tf.evaluation.features import ImageEncoder, extract_features, readable
from s2bnn_tf.files import replace_file
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import open_encoder

# The array in an `.npz` by the head of a `.tflite`, where that is not "features".
_OUTPUTS = {
    "projection": "embeddings",
    "teacher": "embeddings",
    "teacher+map": "embeddings",
    "linear": "logits",
}


def embed_images(
    path: Path | str,
    images: Sequence[Path],
    output: Path | str,
    *,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the features and embeddings of images to an `.npz`.

    The file holds `paths` (N,) and, in the same order, `features` float32 (N, C) and `embeddings`
    float32 (N, D) of unit length; `numpy.load` reads it without pickle. A `.tflite` has one output,
    so its file holds one of these, or `logits` float32 (N, K), by the head that it was converted
    with.

    Args:
        path: A run directory or a `.tflite`.
        images: Image files and folders of them.
        output: The .npz file, replaced atomically.
        runtime: What runs a `.tflite`, as for `open_encoder`.
        progress: Called after each batch.

    Returns:
        "output", "images" (N), "skipped" (the number of unreadable files), the width of each array
        as "feature_dim", "embedding_dim" or "logit_dim", and, for a `.tflite`, "runtime".

    Raises:
        DataError: If no image can be read.
        UserError: If the model cannot be opened.
    """
    return embed_sources(
        path, [open_images(images)], output, runtime=runtime, progress=progress, keep=False
    )


def embed_sources(
    path: Path | str,
    sources: Sequence[ImageSource],
    output: Path | str,
    *,
    runtime: str | None = None,
    progress: Progress | None = None,
    keep: bool = True,
) -> dict[str, Any]:
    """Write the features and embeddings of opened images to an `.npz`, as `embed_images` does.

    Args:
        path: A run directory or a `.tflite`.
        sources: The images, one source after the other.
        output: The .npz file, replaced atomically.
        runtime: What runs a `.tflite`, as for `open_encoder`.
        progress: Called after each batch.
        keep: Whether features are shared with the measures, which keep them beside the model.

    Returns:
        What `embed_images` returns.

    Raises:
        DataError: If no image of a source can be read.
        UserError: If the model cannot be opened.
    """
    output = Path(output)
    encoder: ImageEncoder = open_encoder(path, runtime)
    extract = FeatureCache(path).extract if keep else extract_features
    parts = [extract(encoder, source, progress=progress)[0] for source in sources]
    features = np.concatenate(parts)
    arrays = _arrays(encoder, features)
    encoded = [readable(source) for source in sources]
    paths = np.array([str(part.identify(i)) for part in encoded for i in range(len(part))])

    def write(file: Path) -> None:
        with file.open("wb") as stream:
            np.savez(stream, paths=paths, **arrays)

    replace_file(output, write)
    return {
        "output": str(output),
        "images": len(paths),
        "skipped": sum(len(source.unreadable) for source in sources),
        **{f"{name.removesuffix('s')}_dim": v.shape[1] for name, v in arrays.items()},
        **({"runtime": encoder.runtime} if encoder.runtime is not None else {}),
    }


def _arrays(encoder: ImageEncoder, outputs: FloatArray) -> dict[str, FloatArray]:
    """What a model computes, by name; the output of a `.tflite` is one of them and not two."""
    if encoder.head is None:
        return {"features": outputs, "embeddings": encoder.project(outputs)}
    return {_OUTPUTS.get(encoder.head, "features"): outputs}
