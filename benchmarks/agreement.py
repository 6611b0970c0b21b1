"""Does agreement with the teacher predict the linear probe? From the Fashion-MNIST table's runs.

    python benchmarks/agreement.py

Reads benchmarks/results/fashion_mnist_full.json, where each guided row has the calibration of its
students beside their accuracy; trains nothing. Prints the correlations over all rows and seeds,
inserts them between two marks in docs/results.md, and draws docs/images/agreement.svg.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
from fashion_mnist_table import ROWS, STYLE, write_between_marks
from scipy import stats

from s2bnn_tf.files import write_text

ROOT = Path(__file__).resolve().parent.parent
MEASURES = {
    "rank_agreement": "rank correlation of the coordinates",
    "kl_left": "KL to the teacher, as a share of that of a uniform student",
    "same_largest": "share of views with the same largest coordinate",
}
# Dimensions of the picture in pixels.
LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 60, 330, 20, 50, 880, 360


def main() -> None:
    """Compute, print, and write into the page."""
    results = ROOT / "benchmarks" / "results" / "fashion_mnist_full.json"
    points = read_points(json.loads(results.read_text())["rows"])
    table = as_table(points)
    print(table)
    page = ROOT / "docs" / "results.md"
    write_between_marks(page, "agreement", table)
    write_text(page.parent / "images" / "agreement.svg", picture(points))


def read_points(rows: dict[str, Any]) -> list[dict[str, Any]]:
    """One point for each guided student: its row, its linear probe in percent, its agreement."""
    points = []
    for row in ROWS:
        for measured in rows.get(row, {}).values():
            found = measured.get("calibration", {})
            if "rank_agreement_mean" in found:
                points.append(
                    {
                        "row": row,
                        "linear": 100 * measured["linear"],
                        "rank_agreement": found["rank_agreement_mean"],
                        "kl_left": found["kl_mean"] / found["kl_of_uniform_mean"],
                        "same_largest": found["same_largest_coordinate"],
                    }
                )
    return points


def as_table(points: list[dict[str, Any]]) -> str:
    """Spearman's and Pearson's correlation of each measure with the probe, as Markdown.

    The seeds of a row are not independent trials, so the correlation of the rows' means is given
    as well.
    """
    rows = list(dict.fromkeys(point["row"] for point in points))
    lines = [
        f"| agreement | Spearman, {len(points)} students | Pearson | Spearman, {len(rows)} rows |",
        "| --- | --- | --- | --- |",
    ]
    for name, title in MEASURES.items():
        pairs = np.array([(point[name], point["linear"]) for point in points])
        means = np.array(
            [
                np.mean([(p[name], p["linear"]) for p in points if p["row"] == row], axis=0)
                for row in rows
            ]
        )
        numbers = (
            stats.spearmanr(*pairs.T).statistic,
            stats.pearsonr(*pairs.T).statistic,
            stats.spearmanr(*means.T).statistic,
        )
        lines.append(f"| {title} | {' | '.join(f'{number:.2f}' for number in numbers)} |")
    return "\n".join(lines)


def picture(points: list[dict[str, Any]]) -> str:
    """Return an <svg> of the linear probe against the rank correlation, a color for each row."""
    rows = list(dict.fromkeys(point["row"] for point in points))
    low, high = (f(point["linear"] for point in points) for f in (min, max))
    low, high = int(low), int(high) + 1

    def place(point: dict[str, Any]) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * point["rank_agreement"]
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - point["linear"]) / (high - low)
        return round(x, 1), round(y, 1)

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place({"rank_agreement": share, "linear": low})
        parts.append(f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{y}"/>')
        parts.append(
            f'<text class="small" x="{x}" y="{y + 16}" text-anchor="middle">{share}</text>'
        )
    for accuracy in range(low, high + 1):
        x, y = place({"rank_agreement": 0.0, "linear": accuracy})
        parts.append(
            f'<text class="small" x="{x - 8}" y="{y + 4}" text-anchor="end">{accuracy}</text>'
        )
    parts.append(
        f'<text class="small" x="{LEFT}" y="{HEIGHT - 8}">rank correlation with the teacher '
        "(across), linear probe in percent (up)</text>"
    )
    for number, row in enumerate(rows):
        color = f"hsl({360 * number // len(rows)} 65% 50%)"
        for x, y in (place(point) for point in points if point["row"] == row):
            parts.append(f'<circle style="fill: {color}" cx="{x}" cy="{y}" r="5"/>')
        x, y = WIDTH - RIGHT + 24, TOP + 12 + 24 * number
        title = html.escape(ROWS[row].title.replace(", two steps", ""))
        parts.append(f'<circle style="fill: {color}" cx="{x}" cy="{y}" r="5"/>')
        parts.append(f'<text class="small" x="{x + 12}" y="{y + 4}">{title}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="14" aria-label="Linear probe against agreement with '
        f'the teacher">\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    main()
