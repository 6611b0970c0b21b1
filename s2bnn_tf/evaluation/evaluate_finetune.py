"""`s2bnn eval finetune`: the whole network trained further, on labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2bnn_tf.errors import ModelError
from s2bnn_tf.evaluation.finetune import finetune
from s2bnn_tf.evaluation.hints import training_hint
from s2bnn_tf.evaluation.low_label import draw_labeled
from s2bnn_tf.evaluation.results import read_results, results_dir
from s2bnn_tf.evaluation.session import Session
from s2bnn_tf.progress import Progress
from s2bnn_tf.runs import load_encoder
from s2bnn_tf.teachers import locate_model


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
) -> dict[str, Any]:
    """Train the whole network of a run further, on labels, and write finetune.json.

    The run itself is not changed.

    Args:
        path: A run directory.
        data: The images, as for `open_source`; defaults to those it was trained on.
        labels: The amount of training labels that are seen, as for `draw_labeled`.
        epochs: The number of passes over the labeled images.
        learning_rate: The learning rate at the start.
        min_crop: The smallest share of the area that a training crop keeps, in (0, 1].
        batch_size: The number of images per step.
        seed: The seed of the draw, the classifier's initial weights and the augmentation.
        progress: Called after each step.

    Returns:
        The content of finetune.json: "top1" and "top5" in [0, 1], every parameter, and "hint": a
        sentence if training was too short to judge by, otherwise None.

    Raises:
        ModelError: If the model is a file.
        DataError: If the images have no labels, or too few.
        ConfigError: If the amount of labels is not understood, or training diverges.
        UserError: If the run cannot be opened.
    """
    session = Session(path, data, progress=progress)
    run = locate_model(path)
    if not run.is_dir():
        raise ModelError(
            f"{path} is a file, whose weights are fixed; fine-tune a run directory, such as that "
            "which it was converted from."
        )
    assert session.train.labels is not None
    chosen = draw_labeled(session.train.labels, labels, seed)
    measured = finetune(
        session.encoder,
        load_encoder(run).backbone,
        session.train.select(chosen),
        session.test,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        min_crop=min_crop,
        seed=seed,
        progress=progress,
    )
    hint = training_hint(
        steps=measured["steps"],
        loss=measured["final_training_loss"],
        classes=len(session.train.class_names),
        top1=measured["top1"],
        remedy="give more --epochs or a smaller --batch-size",
        linear=_linear_probe(session, labels),
    )
    return session.write("finetune", {**measured, "labels": labels, "hint": hint})


def _linear_probe(session: Session, labels: str) -> float | None:
    """The accuracy of the run's linear probe where it saw the same labels."""
    if labels != "100%" or session.directory != results_dir(session.path):
        return None
    return (read_results(session.path, "linear") or {}).get("top1")
