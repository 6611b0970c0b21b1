"""The results of the models in a report, as a table and in words."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

NBSP = "\u00a0"  # a space that does not break
MEASURES = ("knn", "linear", "low_label", "finetune", "calibration")

Role = Literal["teacher", "student", "untrained", "tflite"]


@dataclass(frozen=True)
class ReportColumn:
    """One model in the table; fields that are None are left out.

    Attributes:
        name: The heading.
        role: The model's part in the headline.
        knn: The result of `evaluate_knn`.
        linear: The result of `evaluate_linear`.
        size_bytes: The size of the `.tflite`, or of a run's weights.
        binary_macs: The number of 1-bit multiply-adds per image.
        float_macs: The number of floating-point multiply-adds per image.
        parity: A few words on how closely a `.tflite` agrees with its checkpoint.
        low_label: The result of `evaluate_low_label`.
        finetune: The result of `evaluate_finetune`.
        calibration: The result of `evaluate_calibration`.
        latency: The result of `s2bnn benchmark`.
        origin: The published network behind it, as `read_origin` returns it.
        neighbors_kept: The share of test images whose nearest training image is the teacher's.
        rank: The effective rank of the features.
    """

    name: str
    role: Role | None = None
    knn: Mapping[str, Any] | None = None
    linear: Mapping[str, Any] | None = None
    size_bytes: int | None = None
    binary_macs: int | None = None
    float_macs: int | None = None
    parity: str | None = None
    low_label: Mapping[str, Any] | None = None
    finetune: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    latency: Mapping[str, Any] | None = None
    origin: Mapping[str, Any] | None = None
    neighbors_kept: float | None = None
    rank: float | None = None


def summarize(columns: Sequence[ReportColumn]) -> str | None:
    """Sum up the results in one sentence, good or bad; None if there is no accuracy yet.

    The student is judged by its deployed file if there is one. Where a linear probe was measured,
    it comes first, since it says what a user can get out of the features; all models are then
    compared by it. Nearest neighbors follow, which need no training.
    """
    known = [c for c in columns if _top1(c, "knn") is not None or _top1(c, "linear") is not None]
    measured = {column.role: column for column in reversed(known)}
    student = measured.get("tflite") or measured.get("student")
    if student is None:
        return f"{known[0].name} recognizes {_accuracies(known[0])}." if known else None
    sentence = f"A 1-bit encoder{_of_size(student)} recognizes {_accuracies(student)}"
    measure = "knn" if _top1(student, "linear") is None else "linear"
    teacher, untrained = measured.get("teacher"), measured.get("untrained")
    if teacher is not None and (top1 := _top1(teacher, measure)) is not None:
        sentence += f"; its teacher{_of_size(teacher)}, {_percent(top1)}"
    if untrained is not None and (top1 := _top1(untrained, measure)) is not None:
        better = (_top1(student, measure) or 0.0) > top1
        words = "before training, it was" if better else "that is no better than before training,"
        sentence += f"; {words} {_percent(top1)}"
    return sentence + "."


def _top1(column: ReportColumn, measure: str) -> float | None:
    return (getattr(column, measure) or {}).get("top1")


def _of_size(column: ReportColumn) -> str:
    return f" of {_bytes(column.size_bytes)}" if column.size_bytes else ""


def _accuracies(column: ReportColumn) -> str:
    knn, linear = _top1(column, "knn"), _top1(column, "linear")
    if linear is None:
        return f"{_percent(knn or 0.0)} of test images by their nearest neighbors"
    words = f"{_percent(linear)} of test images by a linear probe"
    return words + (f" and {_percent(knn)} by nearest neighbors" if knn is not None else "")


@dataclass(frozen=True)
class Cell:
    """A cell of the table.

    Attributes:
        text: The value as a reader sees it.
        share: The length of its bar as a share of the longest one, in [0, 1]; None for no bar.
    """

    text: str
    share: float | None


def make_table(columns: Sequence[ReportColumn]) -> dict[str, list[Cell]]:
    """Return the rows that have a value, by heading, with one cell per column."""
    rows: dict[str, list[Cell]] = {}
    for heading, values, text, scale in _rows(columns):
        known = [value for value in values if value is not None]
        if known:
            longest = scale or (max(known) if len(known) > 1 else 0)
            rows[heading] = [
                Cell("–", None) if v is None else Cell(text(v), v / longest if longest else None)
                for v in values
            ]
    for amount in _amounts(columns):
        rows[_few(amount)] = [
            _with_interval(cell, _low_label(column, amount, "confidence_interval"))
            for cell, column in zip(rows[_few(amount)], columns, strict=True)
        ]
    if any(c.parity for c in columns):
        rows["Against the checkpoint"] = [Cell(c.parity or "–", None) for c in columns]
    return rows


Row = tuple[str, list[Any], Callable[[Any], str], float | None]


def _rows(columns: Sequence[ReportColumn]) -> list[Row]:
    """Return heading, values, the function that writes a value, and the longest bar's value."""

    def of(attribute: str, key: str) -> list[Any]:
        return [(getattr(c, attribute) or {}).get(key) for c in columns]

    reliability = [
        (r or {}).get("expected_calibration_error") for r in of("calibration", "reliability")
    ]
    students = [(s or {}).get("entropy_mean") for s in of("calibration", "student")]
    return [
        ("kNN accuracy", of("knn", "top1"), _percent, 1.0),
        ("Linear probe", of("linear", "top1"), _percent, 1.0),
        *(
            (_few(amount), [_low_label(c, amount, "top1") for c in columns], _percent, 1.0)
            for amount in _amounts(columns)
        ),
        ("Fine-tuned", of("finetune", "top1"), _percent, 1.0),
        ("Teacher's nearest neighbor kept", [c.neighbors_kept for c in columns], _percent, 1.0),
        ("Effective rank", [c.rank for c in columns], _rank, None),
        ("Expected calibration error", reliability, _percent, None),
        ("Entropy over coordinates", students, _nats, None),
        ("KL from the teacher", of("calibration", "kl_mean"), _nats, None),
        ("File size", [c.size_bytes for c in columns], _bytes, None),
        ("1-bit multiply-adds", [c.binary_macs for c in columns], _count, None),
        ("Float multiply-adds", [c.float_macs for c in columns], _count, None),
        ("Latency", [_median(c.latency) for c in columns], _milliseconds, None),
    ]


def _amounts(columns: Sequence[ReportColumn]) -> list[str]:
    return list(dict.fromkeys(a for c in columns for a in (c.low_label or {}).get("amounts", {})))


def _few(amount: str) -> str:
    return (
        f"Linear probe, {amount} of labels"
        if "%" in amount
        else f"Linear probe, {amount} labels per class"
    )


def _low_label(column: ReportColumn, amount: str, key: str) -> Any:
    return (column.low_label or {}).get("amounts", {}).get(amount, {}).get(key)


def _with_interval(cell: Cell, interval: Sequence[float] | None) -> Cell:
    if not interval:
        return cell
    low, high = (f"{100 * end:.1f}" for end in interval)
    return Cell(f"{cell.text} ({low} to {high})", cell.share)


def _median(latency: Mapping[str, Any] | None) -> float | None:
    return latency["latency_ms"]["median"] if latency else None


def describe_parity(parity: Mapping[str, Any]) -> str:
    """Describe the verification of a `.tflite` in a few words."""
    words = f"{parity['binary_convolutions']} binary convolutions equal, cosine "
    words += f"{parity['cosine_mean']:.4f}"
    if parity["neighbour_agreement"] is not None:
        words += f", same neighbor for {_percent(parity['neighbour_agreement'])}"
    return words


def describe_protocol(columns: Sequence[ReportColumn]) -> list[str]:
    """Describe how the first model was measured; the details are under "Parameters"."""
    sentences = []
    knn = next((c.knn for c in columns if c.knn and "k" in c.knn), None)
    linear = next((c.linear for c in columns if c.linear and "C" in c.linear), None)
    if knn:
        sentences.append(
            f"kNN: each of {knn['n_test']:,} test images gets the class that its {knn['k']} "
            f"nearest of {knn['n_train']:,} training images vote for, by cosine similarity with "
            f"weights exp(similarity / {knn['temperature']:g}). Nothing is trained on labels."
        )
        low, high = _wilson_interval(knn["top1"], knn["n_test"])
        sentences.append(
            f"With {knn['n_test']:,} test images, the 95{NBSP}% confidence interval of "
            f"{_percent(knn['top1'])} is {_percent(low)} to {_percent(high)}."
        )
        if "classes" in knn:
            sentences.append(
                f"Guessing among {knn['classes']:,} classes would give "
                f"{_percent(1 / knn['classes'])}."
            )
    if linear:
        sentences.append(
            "Linear probe: logistic regression on frozen, standardized features (L-BFGS), with "
            f"{_regularization(linear)}. Test images decide nothing."
        )
    few = next((c.low_label for c in columns if c.low_label), None)
    if few:
        sentences.append(
            f"Probes on few labels: the mean of {few['draws']} draws of labels, and its "
            f"95{NBSP}% confidence interval."
        )
    latency = next((c.latency for c in columns if c.latency), None)
    if latency:
        sentences.append(
            f"Latency: the median of {latency['runs']} runs of one image each, with "
            f"{_threads(latency)}, on {latency['machine']} by {latency['engine']}."
        )
    origin = next((c.origin for c in columns if c.origin), None)
    if origin:
        sentences.append(
            f"Teacher: {origin['name']} ({origin['training']}), published at {origin['source']} "
            f"under the license {origin['license']}."
        )
    return sentences + _differences(columns) + _hints(columns)


def _wilson_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share that was counted, within 0 and 1.

    References:
        Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    spread = math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    half = z * spread / (1 + z**2 / count)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _regularization(linear: Mapping[str, Any]) -> str:
    if linear["C_chosen_on"] is None:
        return "a fixed regularization, since there are too few images to choose it"
    return f"its regularization chosen on {linear['C_chosen_on']}"


def _threads(latency: Mapping[str, Any]) -> str:
    return "1 thread" if latency["threads"] == 1 else f"{latency['threads']} threads"


# What two numbers of a row have to share to be compared, and how it is said.
_CONDITIONS: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "knn": (
        "kNN accuracies",
        lambda r: (
            f"{r['n_test']:,} test images of {r['data']} with k {r['k']} at temperature "
            f"{r['temperature']:g}"
        ),
    ),
    "linear": (
        "linear probes",
        lambda r: f"{r['n_test']:,} test images of {r['data']} by the protocol {r['protocol']!r}",
    ),
    "finetune": (
        "fine-tuned accuracies",
        lambda r: (
            f"{r['n_test']:,} test images of {r['data']} after {r['epochs']} epochs on "
            f"{r['labels']} of the labels"
        ),
    ),
    "latency": ("latencies", lambda r: f"{_threads(r)} on {r['machine']} by {r['engine']}"),
}


def _differences(columns: Sequence[ReportColumn]) -> list[str]:
    """Warn of numbers that stand in one row and were measured in different ways."""
    said = []
    for measure, (heading, _) in _CONDITIONS.items():
        ways = ways_of_measuring(columns, measure)
        if len(ways) > 1:
            each = "; ".join(f"{', '.join(names)}: {way}" for way, names in ways.items())
            said.append(f"The {heading} cannot be compared directly. {each}.")
    return said


def ways_of_measuring(columns: Sequence[ReportColumn], measure: str) -> dict[str, list[str]]:
    """Return the conditions that a measure was taken in, in words, and the models of each."""
    ways: dict[str, list[str]] = {}
    for column in columns:
        with contextlib.suppress(KeyError):  # of an earlier version, which did not write it
            if result := getattr(column, measure):
                ways.setdefault(_CONDITIONS[measure][1](result), []).append(column.name)
    return ways


def _hints(columns: Sequence[ReportColumn]) -> list[str]:
    """What the measures themselves say about a number that is lower than it has to be."""
    results = [(c.name, r) for c in columns for r in (c.linear, c.finetune) if r]
    return [f"{name}: {r['hint']}" for name, r in results if r.get("hint")]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}{NBSP}%"


def _rank(value: float) -> str:
    return f"{value:.1f}"


def _nats(value: float) -> str:
    return f"{value:.2f}{NBSP}nats"


def _milliseconds(value: float) -> str:
    return f"{value:.2f}{NBSP}ms"


def _bytes(value: float) -> str:
    if value < 1024**2:
        return f"{value / 1024:.0f}{NBSP}KiB"
    return f"{value / 1024**2:.1f}{NBSP}MiB"


def _count(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{NBSP}{unit}"
    return f"{value:.0f}"
