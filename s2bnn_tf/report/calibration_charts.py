"""Pictures of calibration: distributions over coordinates, their entropy, and reliability."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2bnn_tf.files import write_text
from s2bnn_tf.report.charts import (
    COLORS,
    MUTED,
    Chart,
    LegendEntry,
    line_chart,
    new_figure,
    palette,
    style,
    to_svg,
)

_LEGEND = 18.0  # height of the legend above a separate chart


def calibration_chart(result: Mapping[str, Any]) -> Chart | None:
    """Draw the mean distributions over coordinates, with each view's probabilities sorted."""
    curves = {
        name: list(enumerate(result[name]["mean_sorted_distribution"], 1))
        for name in ("teacher", "student")
        if name in result
    }
    if not curves:
        return None
    curves["uniform"] = [
        (1, 1 / result["dimensions"]),
        (result["dimensions"], 1 / result["dimensions"]),
    ]
    return line_chart(curves, x_label="coordinates of a view, most probable first", log=True)


def entropy_chart(result: Mapping[str, Any]) -> Chart | None:
    """Draw histograms of the views' entropy, teacher and student side by side."""
    curves = {}
    for name in ("teacher", "student"):
        if name in result:
            histogram = result[name]["entropy_histogram"]
            counts = histogram["counts"]
            width = (histogram["to"] - histogram["from"]) / len(counts)
            middles = [histogram["from"] + width * (i + 0.5) for i in range(len(counts))]
            curves[name] = (middles, counts, width)
    if not curves:
        return None
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(4.6, 2.9)
    legend = []
    for index, (name, (middles, counts, width)) in enumerate(curves.items()):
        color, _ = style(index)
        legend.append(LegendEntry(name, index % COLORS, "■"))
        part = width / len(curves)
        places = [x + (index - (len(curves) - 1) / 2) * part for x in middles]
        axes.bar(places, counts, width=part, color=color)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    axes.axvline(result["uniform_entropy"], color=MUTED, linewidth=1, linestyle="dashed")
    axes.set_xlabel("entropy of a view in nats (dashed: uniform)")
    return Chart(to_svg(figure, "Number of views by entropy"), tuple(legend))


def reliability_chart(result: Mapping[str, Any]) -> Chart | None:
    """Draw how often a classifier is right against its confidence."""
    if "reliability" not in result:
        return None
    from matplotlib.ticker import PercentFormatter

    rows = [row for row in result["reliability"]["bins"] if row["count"]]
    figure, axes = new_figure(4.6, 2.9)
    middles = [50 * (row["from"] + row["to"]) for row in rows]
    widths = [92 * (row["to"] - row["from"]) for row in rows]
    axes.bar(middles, [100 * row["accuracy"] for row in rows], width=widths, color=style(0)[0])
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle="dashed")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xlabel("confidence (dashed: right as often as confident)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(decimals=0, symbol=" %"))
    return Chart(to_svg(figure, "Accuracy by confidence"), ())


def save_chart(chart: Chart, path: Path) -> None:
    """Write a chart as a separate SVG file, which follows light and dark like the report."""
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    names = (
        f'<text x="{10 + 90 * i}" y="-4" fill="var(--c{entry.color})">{entry.marker} '
        f"{html.escape(entry.name)}</text>"
        for i, entry in enumerate(chart.legend)
    )
    scheme = ":root { color-scheme: light dark }"  # the page behind it follows, too
    rules = f"<style>{palette()} {scheme} text {{ font: 10px sans-serif }}</style>"
    svg = chart.svg.replace("<svg ", f"<svg {spaces} width='660' ", 1)
    svg = svg.replace(">", f">{rules}{''.join(names)}", 1)
    write_text(path, re.sub(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', _with_legend, svg, count=1))


def _with_legend(match: re.Match[str]) -> str:
    """A view box with room above the chart, so that its legend covers nothing."""
    return f'viewBox="0 {-_LEGEND:g} {match[1]} {float(match[2]) + _LEGEND:g}"'


def draw_calibration(result: Mapping[str, Any], directory: Path) -> None:
    """Write calibration_distribution.svg, _entropy.svg and _reliability.svg.

    Pictures of quantities that were not measured are left out.

    Args:
        result: The result of `evaluate_calibration`.
        directory: The directory of calibration.json.
    """
    charts = {
        "distribution": calibration_chart(result),
        "entropy": entropy_chart(result),
        "reliability": reliability_chart(result),
    }
    for name, chart in charts.items():
        if chart is not None:
            save_chart(chart, directory / f"calibration_{name}.svg")
