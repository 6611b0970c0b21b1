"""What `s2bnn eval` does: open a model and its images, measure, write the numbers down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation.features import Progress, readable
from s2bnn_tf.evaluation.finetune import finetune
from s2bnn_tf.evaluation.gallery import make_gallery
from s2bnn_tf.evaluation.knn import knn_accuracy, top_accuracies
from s2bnn_tf.evaluation.linear_lbfgs import fit_linear_probe
from s2bnn_tf.evaluation.linear_sgd import train_linear_probe
from s2bnn_tf.evaluation.low_label import draw_labeled, low_label_accuracy
from s2bnn_tf.evaluation.mistakes import find_mistakes
from s2bnn_tf.evaluation.results import results_dir
from s2bnn_tf.evaluation.session import Session
from s2bnn_tf.runs import LinearProbe, LoadedEncoder


def evaluate_knn(
    path: Path | str,
    data: str | None = None,
    *,
    k: int = 20,
    temperature: float = 0.07,
    batch_size: int = 256,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> dict:
    """Measure the weighted kNN accuracy of a run or a `.tflite` and write it to knn.json.

    A gallery (gallery.npz: a sample of embeddings, some neighbors) is kept
    beside it for the report.

    Args:
        path: a run directory or a `.tflite`.
        data: the images, as for `open_source`; by default those it was trained on.
        k: neighbors that vote.
        temperature: of the votes.
        batch_size: images encoded at a time.
        runtime: what runs a `.tflite`, as for `open_encoder`.
        progress: told after each batch.

    Returns:
        What knn.json holds: "top1" and "top5" in [0, 1], and every parameter.

    Raises:
        UserError: if the model cannot be opened or the images have no labels.
    """
    session = Session(path, data, progress=progress, batch_size=batch_size, runtime=runtime)
    train, train_labels = session.extract(session.train)
    test, test_labels = session.extract(session.test)
    accuracy = knn_accuracy(train, train_labels, test, test_labels, k=k, temperature=temperature)
    gallery = make_gallery(readable(session.train), readable(session.test), train, test)
    gallery.save(session.directory / "gallery.npz")
    return session.write("knn", accuracy)


def evaluate_linear(
    path: Path | str,
    data: str | None = None,
    *,
    protocol: Literal["fast", "paper"] = "fast",
    epochs: int = 100,
    learning_rate: float = 0.1,
    batch_size: int = 256,
    seed: int = 0,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> dict:
    """Measure the accuracy of a linear probe and write it to linear.json.

    The classifier itself goes to linear_probe.npz, and what it takes for what to
    mistakes.npz. A `.tflite` that was converted with a linear head is measured as it
    is: nothing is trained.

    Args:
        path: a run directory or a `.tflite`.
        data: the images, as for `open_source`; by default those it was trained on.
        protocol: "fast" (L-BFGS on features extracted once) or "paper" (SGD on augmented views).
        epochs: of the paper's protocol.
        learning_rate: of the paper's protocol.
        batch_size: images encoded at a time, and per step of the paper's protocol.
        seed: of the held-out part (fast), or of initial weights and augmentation (paper).
        runtime: what runs a `.tflite`, as for `open_encoder`.
        progress: told after each batch.

    Returns:
        What linear.json holds: "top1" and "top5" in [0, 1], and every parameter.

    Raises:
        UserError: if the model cannot be opened or the images have no labels.
    """
    session = Session(path, data, progress=progress, batch_size=batch_size, runtime=runtime)
    if session.encoder.head == "linear":
        logits, labels = own_logits(session)
        scores = top_accuracies(logits, labels)
        measured = {**scores, "n_test": len(labels), "protocol": "own classifier"}
    else:
        if protocol == "paper":
            probe = train_linear_probe(
                session.encoder,
                session.train,
                session.test,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                seed=seed,
                progress=progress,
            )
        else:
            probe = _fit_fast(session, seed)
        # In the run's own directory lies what `s2bnn convert --head linear` takes: the latest.
        for directory in {session.directory, results_dir(path)}:
            probe.save(directory / "linear_probe.npz")
        features, labels = session.extract(session.test)
        logits = probe.logits(features)
        measured = {**probe.metrics, **probe.parameters}
    find_mistakes(readable(session.test), logits).save(session.directory / "mistakes.npz")
    return session.write("linear", measured)


def evaluate_low_label(
    path: Path | str,
    data: str | None = None,
    *,
    amounts: Sequence[str] = ("1%", "10%", "10"),
    draws: int = 5,
    batch_size: int = 256,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> dict:
    """Measure linear probes that see few labels, and write them to low_label.json.

    Args:
        path: a run directory or a `.tflite`.
        data: the images, as for `open_source`; by default those it was trained on.
        amounts: "1%" of the labels of each class, or "10" labels per class.
        draws: how many times labels are drawn, by the seeds 0, 1, ...
        batch_size: images encoded at a time.
        runtime: what runs a `.tflite`, as for `open_encoder`.
        progress: told after each batch, and after each probe.

    Returns:
        What low_label.json holds: "amounts", for each of them "top1" (mean),
        "confidence_interval" (95 %), "top1_of_draws" and "n_train".

    Raises:
        UserError: if the model cannot be opened, the images have no labels or an
            amount cannot be drawn.
    """
    session = Session(path, data, progress=progress, batch_size=batch_size, runtime=runtime)
    _require_features(session)
    assert session.train.labels is not None
    for amount in amounts:  # refused before anything takes long
        draw_labeled(session.train.labels, amount, seed=0)
    train, test = session.extract(session.train), session.extract(session.test)
    measured = {}
    for number, amount in enumerate(amounts):
        measured[amount] = low_label_accuracy(*train, *test, amount=amount, draws=draws)
        if progress is not None:
            progress(f"{session.encoder.name}: probes on few labels", number + 1, len(amounts))
    result = {"amounts": measured, "draws": draws, "n_test": len(test[1])}
    return session.write("low_label", result)


def evaluate_finetune(
    path: Path | str,
    data: str | None = None,
    *,
    labels: str = "100%",
    epochs: int = 20,
    learning_rate: float = 1e-3,
    min_crop: float = 0.08,
    batch_size: int = 128,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict:
    """Train the whole network of a run further, on labels, and write finetune.json.

    The run itself is left as it is.

    Args:
        path: a run directory.
        data: the images, as for `open_source`; by default those it was trained on.
        labels: how many of the training labels are seen; see `draw_labeled`.
        epochs: passes over the labeled images.
        learning_rate: at the start.
        min_crop: share of the area that a training crop has at least, in (0, 1].
        batch_size: images per step.
        seed: of the draw, the classifier's initial weights and the augmentation.
        progress: told after each step.

    Returns:
        What finetune.json holds: "top1" and "top5" in [0, 1], and every parameter.

    Raises:
        UserError: if the run cannot be opened, the images have no labels, or training diverges.
    """
    session = Session(path, data, progress=progress)
    encoder = session.encoder
    if not isinstance(encoder, LoadedEncoder):
        raise UserError(
            f"{path} is a deployed file, whose weights are fixed: fine-tune the run directory "
            "that it was converted from."
        )
    assert session.train.labels is not None
    chosen = draw_labeled(session.train.labels, labels, seed)
    measured = finetune(
        encoder,
        session.train.select(chosen),
        session.test,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        min_crop=min_crop,
        seed=seed,
        progress=progress,
    )
    return session.write("finetune", {**measured, "labels": labels})


def own_logits(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Return (logits (N, K), labels (N,)) of a `.tflite` that is a classifier itself.

    Raises:
        UserError: if it tells other classes apart than the test images have.
    """
    encoder, test = session.encoder, session.test
    known = getattr(encoder, "labels", None) or test.class_names
    if encoder.feature_dim != len(test.class_names) or tuple(known) != test.class_names:
        raise UserError(
            f"{encoder.path} tells {encoder.feature_dim} classes apart, other ones than the "
            f"{len(test.class_names)} of {test.name}: name images of its classes with --data."
        )
    return session.extract(test)


def _require_features(session: Session) -> None:
    if session.encoder.head == "linear":
        raise UserError(
            f"{session.path} gives classes, not features: name its run directory, or convert "
            "the run with --head none."
        )


def _fit_fast(session: Session, seed: int) -> LinearProbe:
    train, test = session.extract(session.train), session.extract(session.test)
    return fit_linear_probe(*train, *test, class_names=session.train.class_names, seed=seed)
