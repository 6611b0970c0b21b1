"""What the models of a report achieved: as a table, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

NBSP = "\u00a0"  # a space that does not break

Role = Literal["teacher", "student", "untrained", "tflite"]


@dataclass(frozen=True)
class ReportColumn:
    """One model in the table; what is None is left out.

    Attributes:
        name: its heading.
        role: its part in the headline.
        knn: as `evaluate_knn` returns it.
        linear: as `evaluate_linear` returns it.
        size_bytes: of the `.tflite`, or of a run's weights.
        binary_macs: 1-bit multiply-adds per image.
        float_macs: floating-point multiply-adds per image.
        parity: a few words on how it agrees with the checkpoint it was made from.
    """

    name: str
    role: Role | None = None
    knn: Mapping[str, Any] | None = None
    linear: Mapping[str, Any] | None = None
    size_bytes: int | None = None
    binary_macs: int | None = None
    float_macs: int | None = None
    parity: str | None = None


def summarise(columns: Sequence[ReportColumn]) -> str | None:
    """Say what happened in one sentence, good or bad; None if there is no accuracy yet.

    The student is judged by its deployed file where there is one.
    """
    measured = {column.role: column for column in reversed(columns) if column.knn}
    student = measured.get("tflite") or measured.get("student")
    if student is None or student.knn is None:
        return next((f"{c.name} {_knn_words(c.knn)}." for c in columns if c.knn), None)
    sentence = f"A 1-bit encoder{_of_size(student)} {_knn_words(student.knn)}"
    teacher, untrained = measured.get("teacher"), measured.get("untrained")
    if teacher is not None and teacher.knn is not None:
        sentence += f"; its teacher{_of_size(teacher)}, {_percent(teacher.knn['top1'])}"
    if untrained is not None and untrained.knn is not None:
        better = student.knn["top1"] > untrained.knn["top1"]
        words = "before training, it was" if better else "that is no better than before training,"
        sentence += f"; {words} {_percent(untrained.knn['top1'])}"
    return sentence + "."


def _of_size(column: ReportColumn) -> str:
    return f" of {_bytes(column.size_bytes)}" if column.size_bytes else ""


def _knn_words(knn: Mapping[str, Any]) -> str:
    return f"recognises {_percent(knn['top1'])} of test images by their nearest neighbours"


@dataclass(frozen=True)
class Cell:
    """What stands in a place of the table.

    Attributes:
        text: the value, as read.
        share: length of its bar.
    """

    text: str
    share: float | None  # of the longest bar, 0 to 1; None for no bar


def make_table(columns: Sequence[ReportColumn]) -> dict[str, list[Cell]]:
    """Return the rows that have a value, each a cell per column."""

    def accuracy(result: Mapping[str, Any] | None, key: str) -> float | None:
        return result[key] if result else None

    rows: dict[str, list[Cell]] = {}
    for heading, values, text, scale in (
        ("kNN accuracy", [accuracy(c.knn, "top1") for c in columns], _percent, 1.0),
        ("Linear probe", [accuracy(c.linear, "top1") for c in columns], _percent, 1.0),
        ("File size", [c.size_bytes for c in columns], _bytes, None),
        ("1-bit multiply-adds", [c.binary_macs for c in columns], _count, None),
        ("Float multiply-adds", [c.float_macs for c in columns], _count, None),
    ):
        known = [value for value in values if value is not None]
        if known:
            longest = scale or (max(known) if len(columns) > 1 else 0)
            rows[heading] = [
                Cell("–", None) if v is None else Cell(text(v), v / longest if longest else None)
                for v in values
            ]
    if any(c.parity for c in columns):
        rows["Against the checkpoint"] = [Cell(c.parity or "–", None) for c in columns]
    return rows


def describe_parity(parity: Mapping[str, Any]) -> str:
    """Say in a few words what the verification of a `.tflite` found."""
    words = f"{parity['binary_convolutions']} binary convolutions equal, cosine "
    words += f"{parity['cosine_mean']:.4f}"
    if parity["neighbour_agreement"] is not None:
        words += f", same neighbour for {_percent(parity['neighbour_agreement'])}"
    return words


def describe_protocol(columns: Sequence[ReportColumn]) -> list[str]:
    """Say how the first model's accuracies were measured; the rest is under "parameters"."""
    sentences = []
    knn = next((c.knn for c in columns if c.knn), None)
    linear = next((c.linear for c in columns if c.linear and "C" in c.linear), None)
    if knn:
        sentences.append(
            f"kNN: each of {knn['n_test']:,} test images takes the class that its {knn['k']} most "
            f"similar of {knn['n_train']:,} training images vote for (cosine, weights "
            f"exp(similarity / {knn['temperature']:g})). Nothing is trained on labels."
        )
        if "classes" in knn:
            sentences.append(
                f"Guessing among {knn['classes']} classes: {_percent(1 / knn['classes'])}."
            )
    if linear:
        sentences.append(
            "Linear probe: logistic regression on frozen, standardised features (L-BFGS), "
            f"its regularisation chosen on {linear['C_chosen_on']}; test images decide nothing."
        )
    return sentences


def _percent(value: float) -> str:
    return f"{100 * value:.1f}{NBSP}%"


def _bytes(value: float) -> str:
    if value < 1024**2:
        return f"{value / 1024:.0f}{NBSP}KiB"
    return f"{value / 1024**2:.1f}{NBSP}MiB"


def _count(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{NBSP}{unit}"
    return f"{value:.0f}"
