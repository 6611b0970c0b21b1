"""Charts as inline SVG whose colors are CSS variables, so that they follow light and dark."""

from __future__ import annotations

import html
import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2bnn_tf.config import OBJECTIVES
from s2bnn_tf.reading import Number, read_json_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#010203", "#010204", "#010205"  # stand-ins, see to_svg
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid"}
COLORS = 10  # in the style sheet, --c0 to --c9
MARKED = 10  # points with a marker per curve, roughly; more would hide the curve
MARKERS = {"o": "●", "D": "◆", "s": "■", "^": "▲"}  # the name in matplotlib, and the character


@dataclass(frozen=True)
class LegendEntry:
    """One series of a chart.

    Attributes:
        name: Its name.
        color: The number of its color, 0 to 9 for --c0 to --c9.
        marker: The character of its marker.
    """

    name: str
    color: int
    marker: str


@dataclass(frozen=True)
class Chart:
    """A picture and its legend.

    Attributes:
        svg: An <svg> element.
        legend: The series of the chart; empty if there is only one.
    """

    svg: str
    legend: tuple[LegendEntry, ...]


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl, one object per epoch, and skip a line that a kill cut short.

    If a resumed run wrote an epoch twice, the later line counts.

    Raises:
        CheckpointError: If the file cannot be read; none at all gives no epochs.
    """
    try:
        rows = read_json_lines(path, {"epoch": Number(low=0, high=2**31, whole=True)})
    except FileNotFoundError:
        return []
    epochs = {row["epoch"]: row for row in rows}
    return [epochs[epoch] for epoch in sorted(epochs)]


def loss_chart(metrics: Sequence[dict[str, Any]], mark: float | None = None) -> Chart | None:
    """Draw the loss of one run over its epochs, and its parts if there are several.

    Args:
        metrics: The lines of metrics.jsonl.
        mark: An epoch to mark by a dashed line.
    """
    parts = [name for name in OBJECTIVES if _series(metrics, name)]
    names = ["loss", *parts] if len(parts) > 1 else ["loss"]
    return line_chart({name: _series(metrics, name) for name in names}, mark=mark)


def knn_chart(runs: Mapping[str, Sequence[dict[str, Any]]]) -> Chart | None:
    """Draw the kNN accuracy of several runs over their epochs, in percent."""
    curves = {name: _series(metrics, "knn") for name, metrics in runs.items()}
    return line_chart(
        {name: [(x, 100 * y) for x, y in curve] for name, curve in curves.items()},
        unit=" %",
        limits=(0, 100),
    )


def _series(metrics: Sequence[dict[str, Any]], key: str) -> list[tuple[int, float]]:
    """Return the pairs (epoch, value) that exist and are finite."""
    values = [(entry["epoch"], entry.get(key)) for entry in metrics]
    return [(x, y) for x, y in values if isinstance(y, (int, float)) and math.isfinite(y)]


def palette() -> str:
    """Return the light and dark colors of reports and single charts as CSS."""
    return (Path(__file__).parent / "templates" / "palette.css").read_text("utf-8")


def style(index: int, per_marker: int = 1) -> tuple[str, str]:
    """Return the stand-in color and the marker of the index-th series."""
    markers = list(MARKERS)
    return f"#0201{index % COLORS:02x}", markers[index // per_marker % len(markers)]


def line_chart(
    curves: Mapping[str, Sequence[tuple[int, float]]],
    unit: str = "",
    x_label: str = "epoch",
    log: bool = False,
    limits: tuple[float, float] | None = None,
    mark: float | None = None,
) -> Chart | None:
    """Draw named curves of (x, y) points; None if all are empty.

    Args:
        curves: The points by name; x are whole numbers.
        unit: What follows the numbers of the vertical axis.
        x_label: What x is.
        log: Whether the vertical axis is logarithmic.
        limits: The smallest and the largest possible y, which no axis goes beyond.
        mark: An x to mark by a dashed line, if it lies among those of the curves.
    """
    if not any(curves.values()):
        return None
    from matplotlib.ticker import LogLocator, MaxNLocator

    figure, axes = new_figure(4.6, 2.9)
    legend = []
    for index, (name, curve) in enumerate(curves.items()):
        if not curve:
            continue
        color, marker = style(index)
        legend.append(LegendEntry(name, index % COLORS, MARKERS[marker]))
        every = max(1, len(curve) // MARKED)
        x, y = zip(*curve, strict=True)
        axes.plot(x, y, color=color, marker=marker, markersize=4.5, markevery=every)
    xs = [x for curve in curves.values() for x, _ in curve]
    if min(xs) == max(xs):  # a lone point has no range that fractions could be read from
        axes.set_xlim(xs[0] - 0.5, xs[0] + 0.5)
    if mark is not None and min(xs) < mark < max(xs):
        axes.axvline(mark, color=MUTED, linewidth=1, linestyle="dashed")
    axes.xaxis.set_major_locator(
        MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10], min_n_ticks=1)
    )
    if limits is not None:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, limits[0]), min(high, limits[1]))
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.minorticks_off()
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}{unit}")
    axes.set_xlabel(x_label)
    title = f"{' and '.join(entry.name for entry in legend)} by {x_label}"
    return Chart(to_svg(figure, title), tuple(legend) if len(curves) > 1 else ())


def new_figure(width: float, height: float) -> tuple[Figure, Any]:
    """Make a figure and its axes without pyplot, whose state and back end belong to the user."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0, labelsize=9)
    axes.xaxis.label.set_color(MUTED)
    return figure, axes


def to_svg(figure: Figure, title: str) -> str:
    """Render a figure for inlining in HTML: no prologue, no fixed size, colors as variables."""
    import matplotlib

    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with (
        warnings.catch_warnings(),
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": None}),
    ):
        # Text stays text, so what matters is the reader's font and not the one that is here.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    label = html.escape(title)

    def opening(match: re.Match[str]) -> str:
        return f'<svg viewBox="{match[1]}" role="img" aria-label="{label}">'

    svg = re.sub(r'<svg [^>]*viewBox="([^"]+)"[^>]*>', opening, svg, count=1)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # they would not be unique on the page
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return re.sub(r"#02010(\d)", r"var(--c\1)", svg)
