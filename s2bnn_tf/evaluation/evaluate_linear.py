"""`s2bnn eval linear`: fit a linear probe to a model's features, or measure its own classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from s2bnn_tf.errors import DataError
from s2bnn_tf.evaluation.arrays import FloatArray, IntArray
from s2bnn_tf.evaluation.features import ImageEncoder, readable
from s2bnn_tf.evaluation.hints import training_hint
from s2bnn_tf.evaluation.knn import top_accuracies
from s2bnn_tf.evaluation.linear_lbfgs import fit_linear_probe
from s2bnn_tf.evaluation.linear_sgd import train_linear_probe
from s2bnn_tf.evaluation.mistakes import find_mistakes
from s2bnn_tf.evaluation.results import results_dir
from s2bnn_tf.evaluation.session import Session
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import LinearProbe


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
    encoder: ImageEncoder | None = None,
    progress: Progress | None = None,
    most: int | None = None,
) -> dict[str, Any]:
    """Measure the accuracy of a linear probe and write it to linear.json.

    The classifier itself goes to linear_probe.npz, and its mistakes to mistakes.npz. A `.tflite`
    that was converted with a linear head is measured as it is, and nothing is trained.

    Args:
        path: A model, as for `open_model`.
        data: The images, as for `open_source`; defaults to those it was trained on.
        protocol: "fast" (L-BFGS on features extracted once) or "paper" (SGD on augmented views).
        epochs: The number of epochs of the paper's protocol.
        learning_rate: The learning rate of the paper's protocol.
        batch_size: The number of images encoded at a time, and per step of the paper's protocol.
        seed: The seed of the held-out part (fast), or of the initial weights and the
            augmentation (paper).
        runtime: What runs a `.tflite`, as for `open_model`.
        encoder: The model, if it is opened already.
        progress: Called after each batch.
        most: The largest number of images of each split that are used, drawn at random; defaults
            to all.

    Returns:
        The content of linear.json: "top1" and "top5" in [0, 1], every parameter, and
        "hint": a sentence if training was too short to judge by.

    Raises:
        DataError: If the images cannot be read, have no labels, or have other classes than the
            model.
        ConfigError: If training diverges.
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
    measured: dict[str, Any]
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
        # `s2bnn convert --head linear` takes the probe in the model's own directory, the latest.
        for directory in {session.directory, results_dir(path)}:
            probe.save(directory / "linear_probe.npz")
        features, labels = session.extract(session.test)
        logits = probe.logits(features)
        measured = {**probe.metrics, **probe.parameters}
        if measured.get("converged") is False:
            measured["hint"] = (
                f"It did not converge in {measured['max_iterations']} iterations, so a longer "
                "fit may be better."
            )
        if protocol == "paper":
            measured["hint"] = training_hint(
                steps=epochs * -(-measured["n_train"] // batch_size),
                loss=measured["final_training_loss"],
                classes=len(probe.class_names),
                top1=measured["top1"],
                remedy="give more --epochs",
            )
    mistakes = find_mistakes(readable(session.test), logits, session.encoder)
    mistakes.save(session.directory / "mistakes.npz")
    return session.write("linear", measured)


def own_logits(session: Session) -> tuple[FloatArray, IntArray]:
    """Return the logits (N, K) and labels (N,) of a `.tflite` that is a classifier itself.

    Raises:
        DataError: If its classes are not those of the test images.
    """
    encoder, test = session.encoder, session.test
    known = encoder.labels or test.class_names
    if encoder.feature_dim != len(test.class_names) or tuple(known) != test.class_names:
        raise DataError(
            f"{encoder.path} distinguishes {encoder.feature_dim} classes, which are not the "
            f"{len(test.class_names)} of {test.name}; name images of its classes with --data."
        )
    return session.extract(test)


def _fit_fast(session: Session, seed: int) -> LinearProbe:
    train, test = session.extract(session.train), session.extract(session.test)
    return fit_linear_probe(*train, *test, class_names=session.train.class_names, seed=seed)
