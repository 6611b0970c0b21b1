"""Maps of embeddings: what they show, in the same orientation, with names that can be read."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.evaluation import Gallery
from s2bnn_tf.report.charts import COLORS, INK, MARKERS, Chart, LegendEntry, style, to_svg

WIDTH = 331.2  # of a map, in the units of its SVG: 4.6 inches of 72 points
_LOWEST, _HIGHEST = 0.4, 1.2  # its height, as a share of that
_MARGIN = 8.0
_CHARACTER, _LINE = 6.8, 14.0  # width and height of the style sheet's bold 11 pixels, generously
_ABOVE = 9.0  # a point, which its name does not cover then
_TRIED = 80  # places for a name, from the middle of its class outwards
_LONGEST_NAME = 18  # characters

Places = NDArray[np.floating[Any]]
Box = tuple[float, float, float, float]


def draw_maps(galleries: Mapping[str, Gallery]) -> dict[str, Chart]:
    """Draw the map of each model that has one, turned to resemble the first of the same images.

    A map is as good turned or mirrored, so that two maps of one network look unrelated unless
    they are aligned.
    """
    charts: dict[str, Chart] = {}
    earlier: list[Gallery] = []
    for name, gallery in galleries.items():
        if not len(gallery.places):
            continue
        like = next((g for g in earlier if _same_images(g, gallery)), None)
        places = gallery.places if like is None else align(gallery.places, like.places)
        charts[name] = draw_map(places, gallery.place_labels, gallery.class_names.tolist())
        if like is None:
            earlier.append(gallery)
    return charts


def _same_images(a: Gallery, b: Gallery) -> bool:
    return np.array_equal(a.place_labels, b.place_labels) and np.array_equal(
        a.query_images, b.query_images
    )


def align(places: Places, reference: Places) -> Places:
    """Turn, mirror, scale and move places (N, 2) to be as near as possible to others (N, 2).

    References:
        Gower 1975, Generalized Procrustes analysis.
    """
    here, there = (np.asarray(p, np.float64) - p.mean(axis=0) for p in (places, reference))
    left, sizes, right = np.linalg.svd(here.T @ there)
    scale = sizes.sum() / max(float((here**2).sum()), 1e-12)
    aligned: Places = scale * here @ (left @ right) + reference.mean(axis=0)
    return aligned


def draw_map(places: Places, labels: NDArray[np.integer[Any]], names: Sequence[str]) -> Chart:
    """Draw points (N, 2), N at least 1, with labels (N,), -1 where there is none.

    Classes differ by color and by marker, and their names are written among their points.
    """
    from matplotlib.figure import Figure

    fitted, height = _fit(places)
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(0, height)
    present = [int(label) for label in np.unique(labels)]
    legend = []
    for index, label in enumerate(present):
        color, marker = style(index, per_marker=COLORS)
        if label >= 0:
            legend.append(LegendEntry(names[label], index % COLORS, MARKERS[marker]))
        chosen = fitted[labels == label]
        axes.plot(*chosen.T, marker, color=color, markersize=3.4, markeredgewidth=0, alpha=0.8)
    classes = {names[label]: fitted[labels == label] for label in present if label >= 0}
    for name, (x, y) in place_names(classes, height).items():
        axes.annotate(_shorten(name), (x, y), ha="center", va="center", color=INK, parse_math=False)
    return Chart(to_svg(figure, "Map of the embeddings"), tuple(legend))


def _fit(places: Places) -> tuple[Places, float]:
    """Scale places equally in both directions to fill a map; return its height, too."""
    low, high = places.min(axis=0), places.max(axis=0)
    across, up = (max(float(span), 1e-12) for span in high - low)
    height = WIDTH * min(max(up / across, _LOWEST), _HIGHEST)
    inside = WIDTH - 2 * _MARGIN, height - 2 * _MARGIN
    scale = min(inside[0] / across, inside[1] / up)
    fitted: Places = (places - (low + high) / 2) * scale + [WIDTH / 2, height / 2]
    return fitted, height


def place_names(classes: Mapping[str, Places], height: float) -> dict[str, tuple[float, float]]:
    """Choose where the name of each class is written: above a point of it, over no other name.

    The largest classes choose first, the points nearest to their middle. A name that fits
    nowhere is left out; the legend has it.

    Args:
        classes: The points of each class, (N, 2), in the units of the SVG.
        height: The height of the map.

    Returns:
        The middle of each name that is written.
    """
    taken: list[Box] = []
    chosen = {}
    for name, points in sorted(classes.items(), key=lambda item: -len(item[1])):
        from_middle = np.abs(points - np.median(points, axis=0)).sum(axis=1)
        for x, y in points[np.argsort(from_middle, kind="stable")[:_TRIED]]:
            box = name_box(name, float(x), float(y) + _ABOVE, height)
            if not any(_overlap(box, other) for other in taken):
                taken.append(box)
                chosen[name] = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
                break
    return chosen


def name_box(name: str, x: float, y: float, height: float) -> Box:
    """The space of a name around a place, moved inside the map: left, bottom, right, top."""
    shown = _shorten(name)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in shown)
    half = _CHARACTER * (len(shown) + wide) / 2
    x = min(max(x, half), WIDTH - half)
    y = min(max(y, _LINE / 2), height - _LINE / 2)
    return x - half, y - _LINE / 2, x + half, y + _LINE / 2


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def describe_maps(galleries: Mapping[str, Gallery]) -> list[str]:
    """Say what the maps show and what they leave out."""
    shown = [gallery for gallery in galleries.values() if len(gallery.places)]
    if not shown:
        return []
    said = [
        "Each point is a test image, placed by t-SNE with similar features close together; only "
        "nearness means something, not direction or size."
        + (" Maps of the same images are turned to match the first." if len(shown) > 1 else "")
    ]
    if any(gallery.place_labels.max() >= 0 for gallery in shown):
        said.append(
            "Colors show the classes, which training never saw. A name that would cover another "
            "is in the legend alone."
        )
    left_out = {line: None for gallery in shown if (line := _left_out(gallery))}
    return [*said, *left_out]


def _left_out(gallery: Gallery) -> str:
    mapped = len(np.unique(gallery.place_labels[gallery.place_labels >= 0]))
    counts = gallery.class_counts
    classes = len(gallery.class_names) if counts is None else int((counts > 0).sum())
    images = len(gallery.places) if counts is None else int(counts.sum())
    parts = []
    if mapped and mapped < classes:
        parts.append(f"the {mapped} most frequent of {classes:,} classes")
    if len(gallery.places) < images:
        parts.append(f"{len(gallery.places):,} of {images:,} test images")
    return f"Shown: {', '.join(parts)}." if parts else ""


def _shorten(name: str) -> str:
    """Leave out the middle of a long name, since names of classes often differ at their ends."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 7]}…{name[-6:]}"
