"""`s2bnn eval low-label`: linear probes that see few labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s2bnn_tf.errors import ModelError
from s2bnn_tf.evaluation.features import ImageEncoder
from s2bnn_tf.evaluation.low_label import draw_labeled, low_label_accuracy
from s2bnn_tf.evaluation.session import Session
from s2bnn_tf.progress import Progress


def evaluate_low_label(
    path: Path | str,
    data: str | None = None,
    *,
    amounts: Sequence[str] = ("1%", "10%", "10"),
    draws: int = 5,
    batch_size: int = 256,
    runtime: str | None = None,
    encoder: ImageEncoder | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure linear probes that see few labels, and write them to low_label.json.

    Args:
        path: A model, as for `open_model`.
        data: The images, as for `open_source`; defaults to those it was trained on.
        amounts: Amounts of labels: "1%" of the labels of each class, or "10" labels per class.
        draws: The number of times that labels are drawn, with the seeds 0, 1, ...
        batch_size: The number of images encoded at a time.
        runtime: What runs a `.tflite`, as for `open_model`.
        encoder: The model, if it is opened already.
        progress: Called after each batch, and after the probes of each amount.

    Returns:
        The content of low_label.json: "amounts" with, for each of them, "top1" (mean),
        "confidence_interval" (95 %), "top1_of_draws" and "n_train".

    Raises:
        ConfigError: If an amount is not understood.
        DataError: If the images have no labels, or too few for an amount.
        ModelError: If the model gives classes, not features.
        UserError: If the model cannot be opened.
    """
    session = Session(
        path, data, progress=progress, batch_size=batch_size, runtime=runtime, encoder=encoder
    )
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


def _require_features(session: Session) -> None:
    if session.encoder.head == "linear":
        raise ModelError(
            f"{session.path} gives classes, not features; name its run directory, or convert "
            "the run with --head none."
        )
