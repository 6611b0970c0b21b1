"""Several crops of each image into one file of features, as a teacher of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_tf.config import DataConfig
from s2bnn_tf.data import ImageSource, crop_dataset, denormalize, draw_crops
from s2bnn_tf.errors import DataError, ModelError
from s2bnn_tf.evaluation.arrays import FloatArray
from s2bnn_tf.evaluation.features import ImageEncoder
from s2bnn_tf.files import save_arrays
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import RunDirectory, build_augmentation

# The array in an `.npz` by the head of a `.tflite`, where that is not "features".
_OUTPUTS = {
    "projection": "embeddings",
    "teacher": "embeddings",
    "teacher+map": "embeddings",
    "linear": "logits",
}
_AT_ONCE = 128  # crops


def embed_crops(
    encoder: ImageEncoder,
    source: ImageSource,
    output: Path,
    count: int,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the features of random crops of images to an `.npz`; see `embed_images`.

    Args:
        encoder: A model. Crops are drawn as by the recipe of its run, or by the default one.
        source: The N images.
        output: The file.
        count: The number of crops of each image, K.
        seed: The seed of the crops.
        progress: Called after each batch.

    Raises:
        DataError: If an image cannot be read.
        ModelError: If a feature is not finite.
    """
    run = RunDirectory(encoder.path)
    data = run.config.data if run.exists() else DataConfig()
    size = encoder.image_size
    crops = draw_crops(source, build_augmentation(data), count, seed=seed, view=size)
    images = max(1, _AT_ONCE // count)
    batches = crop_dataset(source, crops, image_size=size, channels=encoder.channels, images=images)
    found: list[FloatArray] = []
    for batch in batches.as_numpy_iterator():
        found.append(encoder.features(denormalize(batch)))
        if progress is not None:
            done = min(len(found) * images, len(source))
            progress(f"{encoder.name}: {count} crops of {source.name}", done, len(source))
    features = np.concatenate(found)[: len(source) * count]
    if not np.isfinite(features).all():
        raise ModelError(f"{encoder.name} gives features that are not finite; train it again.")
    if source.unreadable:  # another image was shown in its place
        name, reason = next(iter(source.unreadable.items()))
        raise DataError(
            f"{len(source.unreadable)} images cannot be read, such as {name} ({reason}): take them "
            "out and run the command again."
        )
    arrays = name_outputs(encoder, features)
    paths = [str(source.identify(index)) for index in range(len(source))]
    named = {"paths": paths, "sha256": source.digests() or paths}
    repeated = {name: np.repeat(np.array(values), count) for name, values in named.items()}
    shown = {"boxes": crops.boxes.reshape(-1, 4), "flips": crops.flips.reshape(-1)}
    save_arrays(output, {**repeated, **shown, **arrays})
    return {
        "output": str(output),
        "images": len(source),
        "crops": count,
        "skipped": 0,
        "first_skipped": None,
        **describe_outputs(encoder, arrays),
    }


def name_outputs(encoder: ImageEncoder, outputs: FloatArray) -> dict[str, FloatArray]:
    """What a model computes, by name; the output of a `.tflite` is one of them and not two."""
    if encoder.head is None:
        return {"features": outputs, "embeddings": encoder.project(outputs)}
    return {_OUTPUTS.get(encoder.head, "features"): outputs}


def describe_outputs(encoder: ImageEncoder, arrays: dict[str, FloatArray]) -> dict[str, Any]:
    """The width of each array as "feature_dim" and so on, and what ran the model."""
    widths = {f"{name.removesuffix('s')}_dim": v.shape[1] for name, v in arrays.items()}
    return {**widths, **({"runtime": encoder.runtime} if encoder.runtime is not None else {})}
