"""Several models side by side: one table, one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s2bnn_tf.errors import CheckpointError, ConfigError
from s2bnn_tf.report.page import write_report
from s2bnn_tf.report.stored import read_column, read_gallery, read_mistakes
from s2bnn_tf.report.table import MEASURES, ReportColumn, make_table, ways_of_measuring
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.teachers import locate_model

_MEASURED = (*MEASURES, "latency")


def compare_models(paths: Sequence[Path], report: Path | str | None = None) -> dict[str, Any]:
    """Collect the results of several runs and `.tflite` files.

    Args:
        paths: Models, as for `open_model`.
        report: An HTML page to write.

    Returns:
        {"models": {name: {measure: the content of its JSON file}}, "table": {heading: [the text
        of each model]}, "unmeasured": {name: its path}}; a benchmark counts as a measurement.

    Raises:
        CheckpointError: If a path is not a model, or no model has results yet.
        ConfigError: If the same model is named twice.
    """
    paths = [p if p.exists() else locate_model(p, must_exist=False) for p in paths]
    for path in paths:
        if not RunDirectory(path).exists() and not path.is_file():
            raise CheckpointError(
                f"{path} is neither a run directory nor a .tflite file; name one of them."
            )
    named = _distinct_names(paths)
    columns = [read_column(path, name) for name, path in named.items()]
    results = {c.name: {m: r for m in _MEASURED if (r := getattr(c, m))} for c in columns}
    unmeasured = {name: str(path) for name, path in named.items() if not results[name]}
    if len(unmeasured) == len(named):
        raise CheckpointError(
            f"{paths[0]} has no results yet; run `s2bnn eval knn {paths[0]}` first."
        )
    if report is not None:
        runs = {name: RunDirectory(path) for name, path in named.items() if path.is_dir()}
        write_report(
            report,
            title="Comparison",
            headline=_headline(columns, unmeasured),
            columns=columns,
            curves={name: run.metrics_path for name, run in runs.items()},
            galleries={name: read_gallery(path) for name, path in named.items()},
            mistakes={name: read_mistakes(path) for name, path in named.items()},
            configs={name: run.config_path.read_text("utf-8") for name, run in runs.items()},
        )
    table = make_table(columns)
    return {
        "models": results,
        "table": {heading: [cell.text for cell in row] for heading, row in table.items()},
        "unmeasured": unmeasured,
    }


def describe_comparison(compared: dict[str, Any], report: Path | str | None = None) -> str:
    """Turn the result of `compare_models` into a table of text with one column per model.

    Args:
        compared: The result of `compare_models`.
        report: The page that was written, to be named below the table.
    """
    lines = [["", *compared["models"]], *([h, *row] for h, row in compared["table"].items())]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    )
    for name, path in compared["unmeasured"].items():
        text += f"\n\n{name} has not been measured; run `s2bnn eval knn {path}`."
    return f"{text}\n\nThe report is {report}" if report else text


def _headline(columns: Sequence[ReportColumn], unmeasured: Mapping[str, str]) -> str | None:
    """Name the best model by the measure that most of them have, by linear probe among equals.

    There is no best among models that were measured in different ways, as on other images.
    """
    measures = (("linear", "linear probe"), ("knn", "nearest neighbors"))
    having = {words: [c for c in columns if getattr(c, m)] for m, words in measures}
    measure, words = max(measures, key=lambda pair: len(having[pair[1]]))  # the first of equals
    known = having[words]
    if not known:
        return None
    best = max(known, key=lambda c: float(getattr(c, measure)["top1"]))
    among = f" of the {len(known)} that have one" if len(known) < len(columns) else ""
    sentence = f"Best by {words}{among}: {best.name}, {100 * getattr(best, measure)['top1']:.1f} %."
    if len(ways_of_measuring(known, measure)) > 1:
        sentence = "These models were measured in different ways, so that none can be called best."
    if unmeasured:
        sentence += f" Not measured yet: {', '.join(unmeasured)}."
    return sentence


def _distinct_names(paths: Sequence[Path]) -> dict[str, Path]:
    """Name each path by its last part, or by as many parts as make all names different."""
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise ConfigError("The same model is named twice; name each model once.")
    for depth in range(1, max(len(path.parts) for path in resolved) + 1):
        names = ["/".join(path.parts[-depth:]) for path in resolved]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
    raise AssertionError("paths that differ have names that differ")
