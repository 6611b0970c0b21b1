"""`s2bnn eval knn`: open a model and its images, measure, write the numbers down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2bnn_tf.evaluation.features import ImageEncoder, readable
from s2bnn_tf.evaluation.gallery import make_gallery
from s2bnn_tf.evaluation.knn import knn_accuracy
from s2bnn_tf.evaluation.session import Session
from s2bnn_tf.progress import Progress


def evaluate_knn(
    path: Path | str,
    data: str | None = None,
    *,
    k: int = 20,
    temperature: float = 0.07,
    batch_size: int = 256,
    runtime: str | None = None,
    encoder: ImageEncoder | None = None,
    progress: Progress | None = None,
    most: int | None = None,
    gallery: bool = True,
) -> dict[str, Any]:
    """Measure the weighted kNN accuracy of a run or a `.tflite` and write it to knn.json.

    A gallery (gallery.npz: a sample of embeddings, some neighbors) is kept beside it for the
    report.

    Args:
        path: A model, as for `open_model`.
        data: The images, as for `open_source`; defaults to those it was trained on.
        k: The number of neighbors that vote.
        temperature: The temperature of the votes, above 0.
        batch_size: The number of images encoded at a time.
        runtime: What runs a `.tflite`, as for `open_model`.
        encoder: The model, if it is opened already.
        progress: Called after each batch.
        most: The largest number of images of each split that are used, drawn at random; defaults
            to all.
        gallery: Whether to keep the gallery, whose map takes a few seconds.

    Returns:
        The content of knn.json: "top1" and "top5" in [0, 1], and every parameter.

    Raises:
        DataError: If the images cannot be read or have no labels.
        UserError: If the model cannot be opened.
    """
    session = Session(
        path,
        data,
        progress=progress,
        batch_size=batch_size,
        runtime=runtime,
        encoder=encoder,
        most=most,
    )
    train, train_labels = session.extract(session.train)
    test, test_labels = session.extract(session.test)
    accuracy = knn_accuracy(train, train_labels, test, test_labels, k=k, temperature=temperature)
    if gallery:
        images = readable(session.train), readable(session.test)
        made = make_gallery(*images, train, test, session.encoder)
        made.save(session.directory / "gallery.npz")
    return session.write("knn", accuracy)
