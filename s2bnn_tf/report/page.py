"""One self-contained HTML page about one run or several: numbers, curves, pictures."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s2bnn_tf import __version__
from s2bnn_tf.config import load_config
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.evaluation import Gallery, Mistakes
from s2bnn_tf.files import write_text
from s2bnn_tf.report.calibration_charts import (
    calibration_chart,
    entropy_chart,
    reliability_chart,
)
from s2bnn_tf.report.charts import (
    Chart,
    knn_chart,
    loss_chart,
    palette,
    read_metrics,
)
from s2bnn_tf.report.maps import describe_maps, draw_maps
from s2bnn_tf.report.pictures import WordRow, error_view, neighbor_rows
from s2bnn_tf.report.rendering import render
from s2bnn_tf.report.stored import read_column, read_gallery, read_mistakes
from s2bnn_tf.report.table import (
    MEASURES,
    ReportColumn,
    describe_protocol,
    make_table,
    summarize,
)
from s2bnn_tf.runs import RunDirectory


def write_run_report(path: Path | str) -> Path:
    """Write report.html of a single run, replacing an earlier one, from what its directory holds.

    Args:
        path: The run directory.

    Returns:
        The page.
    """
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


def _sentences(text: str) -> tuple[str, str]:
    """The first sentence, and the others."""
    first, _, others = text.partition(". ")
    return (f"{first}." if others else first), others


def write_report(
    output: Path | str,
    *,
    title: str,
    columns: Sequence[ReportColumn] = (),
    headline: str | None = None,
    notes: Sequence[str] = (),
    curves: Mapping[str, Path] | None = None,
    galleries: Mapping[str, Gallery | None] | None = None,
    mistakes: Mapping[str, Mistakes | None] | None = None,
    words: tuple[Sequence[str], Sequence[WordRow]] = ((), ()),
    words_page: str | None = None,
    commands: Sequence[tuple[str, str]] = (),
    configs: Mapping[str, str] | None = None,
) -> None:
    """Write the page; sections without content are left out.

    Args:
        output: The .html file, replaced atomically.
        title: The title of the page.
        columns: The models of the table.
        headline: The result, its first sentence in large letters; defaults to one sentence that is
            made from the columns.
        notes: Sentences about the images, below the table.
        curves: The metrics.jsonl of each run, by name, in the order of training; each is beside
            the recipe of its run.
        galleries: The embeddings and neighbors of each model, by name.
        mistakes: The mistakes of each model's classifier, by name.
        words: Sentences about the words that pictures are named by, and the pictures of some.
        words_page: The name of a page beside this one that has all words.
        commands: The next steps, as (command, its purpose).
        configs: The text of each run's recipe, by name.
    """
    metrics = {name: read_metrics(path) for name, path in (curves or {}).items()}
    filled = {name: _queue_filled(path, metrics[name]) for name, path in (curves or {}).items()}
    losses = {name: loss_chart(epochs, filled[name]) for name, epochs in metrics.items()}
    shown = {name: gallery for name, gallery in (galleries or {}).items() if gallery}
    neighbors = {name: neighbor_rows(gallery) for name, gallery in shown.items()}
    page = render(
        "report.html.j2",
        palette=palette(),
        title=title,
        headline=_sentences(headline or summarize(columns) or ""),
        columns=columns,
        rows=make_table(columns),
        protocol=[*notes, *describe_protocol(columns)],
        parameters={c.name: _as_json(c) for c in columns if any(_results(c).values())},
        losses={name: chart for name, chart in losses.items() if chart},
        rising=[name for name, epoch in filled.items() if epoch and losses[name]],
        knn=knn_chart(metrics),
        maps=draw_maps(shown),
        map_notes=describe_maps(shown),
        neighbors=neighbors,
        labeled=any(row["found"] for rows in neighbors.values() for row in rows),
        calibrations=_calibration_charts(columns),
        errors={name: error_view(m) for name, m in (mistakes or {}).items() if m},
        word_notes=list(words[0]),
        words=list(words[1]),
        words_page=words_page,
        commands=commands,
        configs=configs or {},
        version=__version__,
        date=datetime.date.today().isoformat(),
    )
    write_text(Path(output), page)


def _queue_filled(path: Path, metrics: Sequence[dict[str, Any]]) -> float | None:
    """The epoch in which the queue of a run was full, where that shows in the means of epochs."""
    recipe = path.parent / "config.yaml"
    if not metrics or not recipe.is_file():
        return None
    first = metrics[0]
    steps = first.get("step")
    if not isinstance(steps, int) or steps < 1 or first["epoch"] < 1:
        return None
    try:
        config = load_config(recipe)
    except ConfigError:  # of a run that this version cannot train: the page says less
        return None
    epochs = config.steps_to_fill_queue * first["epoch"] / steps
    return epochs if epochs > 0.1 else None


def _results(column: ReportColumn) -> dict[str, Mapping[str, Any] | None]:
    return {measure: getattr(column, measure) for measure in MEASURES}


def _as_json(column: ReportColumn) -> str:
    results = {k: v for k, v in _results(column).items() if v}
    if "calibration" in results:  # its curves are drawn, and are in calibration.json
        drawn = {"student", "teacher", "reliability"}
        results["calibration"] = {k: v for k, v in results["calibration"].items() if k not in drawn}
    return json.dumps(results, indent=2, ensure_ascii=False)


def _calibration_charts(columns: Sequence[ReportColumn]) -> dict[str, dict[str, Chart]]:
    """Draw the pictures of each model whose calibration was measured, by their headings."""
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
