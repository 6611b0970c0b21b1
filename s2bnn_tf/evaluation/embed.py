"""Embed images into a file, for search, clustering or another classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_tf.data import ImageSource, open_all
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.evaluation.embed_crops import describe_outputs, embed_crops, name_outputs
from s2bnn_tf.evaluation.feature_cache import FeatureCache
from s2bnn_tf.evaluation.features import ImageEncoder, extract_features, readable
from s2bnn_tf.evaluation.vector_files import check_vector_file, write_vectors
from s2bnn_tf.progress import Progress
from s2bnn_tf.teachers import open_model


def embed_images(
    path: Path | str,
    images: Sequence[str | Path],
    output: Path | str,
    *,
    shard: tuple[int, int] = (1, 1),
    crops: int = 1,
    seed: int = 0,
    runtime: str | None = None,
    encoder: ImageEncoder | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the features and embeddings of images to an `.npz`, `.npy` or `.parquet`.

    `teacher.weights` takes an `.npz` and a `.parquet`.

    The file holds `paths` (N,) and, in the same order, `features` float32 (N, C) and `embeddings`
    float32 (N, D) of unit length; `numpy.load` reads an `.npz` without pickle. A frame of a video
    is the path of the video and the hundredths of a second of its time, as in
    `clip.mp4/0000000150.jpg`. A `.tflite` has one output, so its file holds one of these, or
    `logits` float32 (N, K), by the head that it was converted with. An `.npy` holds one array; see
    `write_vectors`.

    Of K crops of each image, the file has K rows, one after the other, and also `sha256` (N * K,),
    of the image's file, `boxes` float32 (N * K, 4), top, left, height and width as shares of the
    image, and `flips` bool (N * K,).

    Args:
        path: A model, as for `open_model`.
        images: Whatever `s2bnn fit` takes: image files, folders, videos, and sources as for
            `open_source`, of which both splits are embedded.
        output: The file, replaced atomically; crops are written to an `.npz` only.
        shard: Which part of the images, and of how many, from 1 on: the files of all parts hold,
            after each other, what the file of all images holds.
        crops: The number of crops of each image, K, drawn as the recipe of the run draws them; 1
            for the center view that evaluation takes.
        seed: The seed of the crops.
        runtime: What runs a `.tflite`, as for `open_model`.
        encoder: The model, if it is opened already.
        progress: Called after each batch.

    Returns:
        "output", "images" (N), "skipped" (the number of unreadable files), "first_skipped" (which
        one is the first, and why; None without any), the width of each array as "feature_dim",
        "embedding_dim" or "logit_dim", and, for a `.tflite`, "runtime".

    Raises:
        ConfigError: If the output cannot be written.
        DataError: If no image can be read.
        UserError: If the model cannot be opened.
    """
    output = Path(output)
    check_vector_file(output)
    sources = open_all(images, shard, progress)
    if crops > 1:
        if output.suffix != ".npz" or len(sources) > 1:
            raise ConfigError(
                "Crops are drawn of one folder, list or number of files, and written to one .npz; "
                "name one source and an --output FILE.npz."
            )
        opened = encoder or open_model(path, runtime)
        return embed_crops(opened, sources[0], output, crops, seed=seed, progress=progress)
    return embed_sources(
        path,
        sources,
        output,
        runtime=runtime,
        encoder=encoder,
        progress=progress,
        keep=False,
    )


def embed_sources(
    path: Path | str,
    sources: Sequence[ImageSource],
    output: Path | str,
    *,
    runtime: str | None = None,
    encoder: ImageEncoder | None = None,
    progress: Progress | None = None,
    keep: bool = True,
) -> dict[str, Any]:
    """Write the features and embeddings of opened images to a file, as `embed_images` does.

    Args:
        path: A model, as for `open_model`.
        sources: The images, one source after the other.
        output: The file, replaced atomically.
        runtime: What runs a `.tflite`, as for `open_model`.
        encoder: The model, if it is opened already.
        progress: Called after each batch.
        keep: Whether features are shared with the measures, which keep them beside the model.

    Returns:
        What `embed_images` returns.

    Raises:
        DataError: If no image of a source can be read.
        UserError: If the model cannot be opened.
    """
    output = Path(output)
    encoder = encoder or open_model(path, runtime)
    extract = FeatureCache(path).extract if keep else extract_features
    parts = [extract(encoder, source, progress=progress)[0] for source in sources]
    features = np.concatenate(parts)
    arrays = name_outputs(encoder, features)
    encoded = [readable(source) for source in sources]
    paths = [str(part.identify(i)) for part in encoded for i in range(len(part))]
    write_vectors(output, paths, arrays)
    skipped = [
        f"{name} ({reason})"
        for source in sources
        for name, reason in sorted((str(n), r) for n, r in source.unreadable.items())
    ]
    return {
        "output": str(output),
        "images": len(paths),
        "skipped": len(skipped),
        "first_skipped": skipped[0] if skipped else None,
        **describe_outputs(encoder, arrays),
    }
