"""What `s2bnn eval` does: open a model and its images, measure, write the numbers down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from s2bnn_tf import __version__
from s2bnn_tf.data import ImageSource, open_source
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation.features import Progress, extract_features, readable
from s2bnn_tf.evaluation.gallery import make_gallery
from s2bnn_tf.evaluation.knn import knn_accuracy, top_accuracies
from s2bnn_tf.evaluation.linear_probe import LinearProbe, fit_linear_probe
from s2bnn_tf.evaluation.linear_protocol import train_linear_probe
from s2bnn_tf.evaluation.results import results_dir, write_json
from s2bnn_tf.weights import open_encoder

if TYPE_CHECKING:
    from s2bnn_tf.weights import LoadedEncoder, TFLiteEncoder

    Encoder = LoadedEncoder | TFLiteEncoder


def evaluate_knn(
    path: Path | str,
    data: str | None = None,
    *,
    k: int = 20,
    temperature: float = 0.07,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> dict:
    """Measure the weighted kNN accuracy of a run or a `.tflite` and write it to knn.json.

    A gallery (gallery.npz: a sample of embeddings, some neighbours) is kept
    beside it for the report.

    Args:
        path: a run directory or a `.tflite`.
        data: the images, as for `open_source`; by default those it was trained on.
        k: neighbours that vote.
        temperature: of the votes.
        batch_size: images encoded at a time.
        progress: told after each batch.

    Returns:
        What knn.json holds: "top1" and "top5" in [0, 1], and every parameter.

    Raises:
        UserError: if the model cannot be opened or the images have no labels.
    """
    encoder = open_encoder(path)
    train, test = open_labelled(encoder, data)
    train_features, train_labels = extract_features(
        encoder, train, batch_size=batch_size, progress=progress
    )
    test_features, test_labels = extract_features(
        encoder, test, batch_size=batch_size, progress=progress
    )
    accuracy = knn_accuracy(
        train_features, train_labels, test_features, test_labels, k=k, temperature=temperature
    )
    result = {"metric": "knn", **accuracy, **_conditions(encoder, train, test, data)}
    directory = results_dir(path)
    gallery = make_gallery(readable(train), readable(test), train_features, test_features)
    gallery.save(directory / "gallery.npz")
    write_json(directory / "knn.json", result)
    return result


def evaluate_linear(
    path: Path | str,
    data: str | None = None,
    *,
    protocol: Literal["fast", "paper"] = "fast",
    epochs: int = 100,
    learning_rate: float = 0.1,
    batch_size: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict:
    """Measure the accuracy of a linear probe and write it to linear.json.

    The classifier itself goes to linear_probe.npz. A `.tflite` that was converted
    with a linear head is measured as it is: nothing is trained.

    Args:
        path: a run directory or a `.tflite`.
        data: the images, as for `open_source`; by default those it was trained on.
        protocol: "fast" (L-BFGS on features extracted once) or "paper" (SGD on augmented views).
        epochs: of the paper's protocol.
        learning_rate: of the paper's protocol.
        batch_size: images encoded at a time, and per step of the paper's protocol.
        seed: of the held-out part (fast), or of initial weights and augmentation (paper).
        progress: told after each batch.

    Returns:
        What linear.json holds: "top1" and "top5" in [0, 1], and every parameter.

    Raises:
        UserError: if the model cannot be opened or the images have no labels.
    """
    encoder = open_encoder(path)
    train, test = open_labelled(encoder, data)
    directory = results_dir(path)
    if encoder.head == "linear":
        measured = _measure_own_classifier(encoder, test, batch_size, progress)
    else:
        if protocol == "paper":
            probe = train_linear_probe(
                encoder,
                train,
                test,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                seed=seed,
                progress=progress,
            )
        else:
            probe = _fit_fast(encoder, train, test, batch_size, seed, progress)
        probe.save(directory / "linear_probe.npz")
        measured = {**probe.metrics, **probe.parameters}
    result = {"metric": "linear", **measured, **_conditions(encoder, train, test, data)}
    write_json(directory / "linear.json", result)
    return result


def open_labelled(encoder: Encoder, data: str | None) -> tuple[ImageSource, ImageSource]:
    """Open the training and the test images that a model is to be evaluated on.

    Raises:
        UserError: if no source is known or one of its splits has no labels.
    """
    spec = data or encoder.data_source
    if spec is None:
        raise UserError(
            f"{encoder.path} does not say which images it was made from: name some with --data."
        )
    return _only_labelled(open_source(spec, "train")), _only_labelled(open_source(spec, "test"))


def _only_labelled(source: ImageSource) -> ImageSource:
    if source.labels is None or max(source.labels, default=-1) < 0:
        raise UserError(
            f"The {source.split} images of {source.name} have no labels to compare with: sort "
            "them into one subfolder per class, or name a labelled source with --data."
        )
    return source.select(np.flatnonzero(source.labels >= 0))


def _fit_fast(
    encoder: Encoder,
    train: ImageSource,
    test: ImageSource,
    batch_size: int,
    seed: int,
    progress: Progress | None,
) -> LinearProbe:
    train_set = extract_features(encoder, train, batch_size=batch_size, progress=progress)
    test_set = extract_features(encoder, test, batch_size=batch_size, progress=progress)
    return fit_linear_probe(*train_set, *test_set, class_names=train.class_names, seed=seed)


def _measure_own_classifier(
    encoder: Encoder, test: ImageSource, batch_size: int, progress: Progress | None
) -> dict:
    known = getattr(encoder, "labels", None) or test.class_names
    if encoder.feature_dim != len(test.class_names) or tuple(known) != test.class_names:
        raise UserError(
            f"{encoder.path} tells {encoder.feature_dim} classes apart, other ones than the "
            f"{len(test.class_names)} of {test.name}: name images of its classes with --data."
        )
    logits, labels = extract_features(encoder, test, batch_size=batch_size, progress=progress)
    return {**top_accuracies(logits, labels), "n_test": len(labels), "protocol": "own classifier"}


def _conditions(encoder: Encoder, train: ImageSource, test: ImageSource, data: str | None) -> dict:
    """Describe what was measured on, for the reader of a JSON file a year later."""
    return {
        "model": encoder.name,
        "data": data or encoder.data_source,
        "classes": len(train.class_names),
        "unreadable_images": len(train.unreadable) + len(test.unreadable),
        "size_bytes": encoder.size_bytes,
        "feature_dim": encoder.feature_dim,
        "image_size": encoder.image_size,
        "center_crop": encoder.center_crop,
        "version": __version__,
    }
