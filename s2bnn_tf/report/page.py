"""One self-contained HTML page about one run or several: numbers, curves, pictures."""

from __future__ import annotations

import base64
import datetime
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_tf import __version__
from s2bnn_tf.evaluation import Gallery, Mistakes, read_results, results_dir
from s2bnn_tf.files import write_text
from s2bnn_tf.report.calibration_charts import (
    calibration_chart,
    entropy_chart,
    reliability_chart,
)
from s2bnn_tf.report.charts import (
    Chart,
    embedding_map,
    knn_chart,
    loss_chart,
    palette,
    read_metrics,
)
from s2bnn_tf.report.table import (
    NBSP,
    ReportColumn,
    Role,
    describe_parity,
    describe_protocol,
    make_table,
    summarize,
)
from s2bnn_tf.runs import RunDirectory

SHOWN_CLASSES = 20  # of a confusion matrix; more cannot be read
MEASURES = ("knn", "linear", "low_label", "finetune", "calibration")


def read_column(path: Path | str, name: str, role: Role | None = None, **more: Any) -> ReportColumn:
    """Make a column of what was written beside a run or a `.tflite`: results, card.

    Args:
        path: a run directory or a `.tflite`.
        name: the heading.
        role: its part in the headline.
        **more: further fields of ReportColumn, or others than those found.
    """
    results = {measure: read_results(path, measure) for measure in MEASURES}
    size = next((result["size_bytes"] for result in results.values() if result), None)
    latency = read_results(path, "benchmark")
    found = {**results, "latency": latency, "size_bytes": size, **_read_card(Path(path))}
    return ReportColumn(name, role, **{**found, **more})


def _read_card(path: Path) -> dict[str, Any]:
    """Read what the card beside a `.tflite` tells of it; nothing for a run."""
    if path.is_dir():
        return {}
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return {
            "size_bytes": card["size_bytes"],
            "binary_macs": card["operations"]["binary_macs"],
            "float_macs": card["operations"]["float_macs"],
            "parity": describe_parity(card["parity"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def read_gallery(path: Path | str) -> Gallery | None:
    """Read the pictures that `evaluate_knn` has kept of a run or a `.tflite`."""
    return Gallery.load(results_dir(path) / "gallery.npz")


def read_mistakes(path: Path | str) -> Mistakes | None:
    """Read what `evaluate_linear` has kept of a run's or a `.tflite`'s errors."""
    return Mistakes.load(results_dir(path) / "mistakes.npz")


def write_run_report(path: Path | str) -> Path:
    """Write (again) the report.html of a single run from what its directory holds by now."""
    run = RunDirectory(Path(path))
    name = run.path.resolve().name
    config = run.config_path
    write_report(
        run.report_path,
        title=name,
        columns=[read_column(run.path, name)],
        curves={name: run.metrics_path},
        galleries={name: read_gallery(run.path)},
        mistakes={name: read_mistakes(run.path)},
        configs={config.name: config.read_text("utf-8")} if config.exists() else {},
    )
    return run.report_path


def write_report(
    output: Path | str,
    *,
    title: str,
    columns: Sequence[ReportColumn] = (),
    headline: str | None = None,
    curves: Mapping[str, Path] | None = None,
    galleries: Mapping[str, Gallery | None] | None = None,
    mistakes: Mapping[str, Mistakes | None] | None = None,
    commands: Sequence[tuple[str, str]] = (),
    configs: Mapping[str, str] | None = None,
) -> None:
    """Write the page; sections without content are left out.

    Args:
        output: the .html file, replaced atomically.
        title: of the page.
        columns: the models of the table.
        headline: what happened, in a sentence; made from the columns if not given.
        curves: metrics.jsonl of each run by name, in the order of training.
        galleries: embeddings and neighbors of each model by name.
        mistakes: of each model's classifier, by name.
        commands: what to do next, as (command, what it does).
        configs: text of the configuration of each run by name.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("s2bnn_tf.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    metrics = {name: read_metrics(path) for name, path in (curves or {}).items()}
    losses = {name: loss_chart(epochs) for name, epochs in metrics.items()}
    shown = {name: gallery for name, gallery in (galleries or {}).items() if gallery}
    maps = {
        name: embedding_map(gallery.places, gallery.place_labels, gallery.class_names.tolist())
        for name, gallery in shown.items()
    }
    page = environment.get_template("report.html.j2").render(
        palette=palette(),
        title=title,
        headline=headline or summarize(columns),
        columns=columns,
        rows=make_table(columns),
        protocol=describe_protocol(columns),
        parameters={c.name: _as_json(c) for c in columns if any(_results(c).values())},
        losses={name: chart for name, chart in losses.items() if chart},
        knn=knn_chart(metrics),
        maps={name: chart for name, chart in maps.items() if chart},
        neighbors={name: _neighbor_rows(gallery) for name, gallery in shown.items()},
        calibrations=_calibration_charts(columns),
        errors={name: _error_views(m) for name, m in (mistakes or {}).items() if m},
        commands=commands,
        configs=configs or {},
        version=__version__,
        date=datetime.date.today().isoformat(),
    )
    write_text(Path(output), page)


def _results(column: ReportColumn) -> dict[str, Mapping[str, Any] | None]:
    return {measure: getattr(column, measure) for measure in MEASURES}


def _as_json(column: ReportColumn) -> str:
    results = {k: v for k, v in _results(column).items() if v}
    if "calibration" in results:  # its curves are drawn, and are in calibration.json
        drawn = {"student", "teacher", "reliability"}
        results["calibration"] = {k: v for k, v in results["calibration"].items() if k not in drawn}
    return json.dumps(results, indent=2, ensure_ascii=False)


def _calibration_charts(columns: Sequence[ReportColumn]) -> dict[str, dict[str, Chart]]:
    """For each model that was looked at, its pictures by their headings."""
    draw = {
        "Distribution over coordinates": calibration_chart,
        "Entropy": entropy_chart,
        "Reliability of the linear probe": reliability_chart,
    }
    drawn = {
        c.name: {heading: chart(c.calibration) for heading, chart in draw.items()}
        for c in columns
        if c.calibration
    }
    return {name: {h: c for h, c in charts.items() if c} for name, charts in drawn.items()}


def _error_views(mistakes: Mistakes) -> dict:
    """The confusion matrix, if it can be read, and tiles of the worst mistakes."""
    confusion = mistakes.confusion
    names = [str(name) for name in mistakes.class_names]
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    rows = [
        {
            "name": names[i],
            "cells": [
                {"count": int(count), "share": float(share), "right": i == j}
                for j, (count, share) in enumerate(zip(row, row / total, strict=True))
            ],
        }
        for i, (row, total) in enumerate(zip(confusion, totals, strict=True))
    ]
    tiles = [
        {
            "image": _data_uri(image),
            "label": names[label],
            "predicted": names[predicted],
            "confidence": f"{100 * confidence:.0f}{NBSP}%",
        }
        for image, label, predicted, confidence in zip(
            mistakes.images, mistakes.labels, mistakes.predicted, mistakes.confidence, strict=True
        )
    ]
    return {"rows": rows if len(names) <= SHOWN_CLASSES else [], "names": names, "tiles": tiles}


def _neighbor_rows(gallery: Gallery) -> list[dict]:
    def tile(image: np.ndarray, label: int) -> dict:
        return {"image": _data_uri(image), "label": str(gallery.class_names[label])}

    rows = []
    for query, label in enumerate(gallery.query_labels):
        neighbors = [
            {**tile(image, other), "similarity": f"{cosine:.2f}", "wrong": bool(other != label)}
            for image, other, cosine in zip(
                gallery.neighbour_images[query],
                gallery.neighbour_labels[query],
                gallery.similarities[query],
                strict=True,
            )
        ]
        rows.append({"query": tile(gallery.query_images[query], label), "neighbors": neighbors})
    return rows


def _data_uri(image: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
