"""Results, cards and pictures, read from the files beside a run or a `.tflite`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2bnn_tf.evaluation import Gallery, Mistakes, read_results, results_dir
from s2bnn_tf.report.table import MEASURES, ReportColumn, Role, describe_parity
from s2bnn_tf.runs import read_origin
from s2bnn_tf.tflite import read_card


def read_column(path: Path | str, name: str, role: Role | None = None, **more: Any) -> ReportColumn:
    """Read the results and the card that were written beside a run or a `.tflite`.

    Args:
        path: A run directory or a `.tflite`.
        name: The heading of the column.
        role: The model's part in the headline.
        **more: Further fields of ReportColumn, which win over those that are found.

    Raises:
        UserError: If one of the files is damaged.
    """
    results = {measure: read_results(path, measure) for measure in MEASURES}
    size = next((r["size_bytes"] for r in results.values() if r and "size_bytes" in r), None)
    latency = read_results(path, "benchmark")
    found = {**results, "latency": latency, "size_bytes": size, **_read_card(Path(path))}
    return ReportColumn(name, role, **{**found, **more})


def _read_card(path: Path) -> dict[str, Any]:
    """Read the card beside a `.tflite`; a run has none."""
    if path.is_dir():
        return {"origin": read_origin(path)}
    card = read_card(path) or {}
    operations = card.get("operations") or {}
    parity = card.get("parity")
    facts = {
        "size_bytes": card.get("size_bytes"),
        "binary_macs": operations.get("binary_macs"),
        "float_macs": operations.get("float_macs"),
        "parity": describe_parity(parity) if parity else None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def read_gallery(path: Path | str) -> Gallery | None:
    """Read the pictures that `evaluate_knn` has stored for a run or a `.tflite`."""
    return Gallery.load(results_dir(path) / "gallery.npz")


def read_mistakes(path: Path | str) -> Mistakes | None:
    """Read the mistakes that `evaluate_linear` has stored for a run or a `.tflite`."""
    return Mistakes.load(results_dir(path) / "mistakes.npz")
