"""Maps say what they show, agree with each other, and can be read."""

from __future__ import annotations

import re

import numpy as np
import pytest

from s2bnn_tf.evaluation import Gallery
from s2bnn_tf.report.maps import (
    WIDTH,
    align,
    describe_maps,
    draw_map,
    draw_maps,
    name_box,
    place_names,
)


def gallery(places: np.ndarray, labels: np.ndarray, counts: np.ndarray | None) -> Gallery:
    classes = int(labels.max()) + 1 if counts is None else len(counts)
    return Gallery(
        places=places.astype(np.float32),
        place_labels=labels,
        query_images=np.zeros((1, 8, 8, 3), np.uint8),
        query_labels=labels[:1],
        neighbor_images=np.zeros((1, 8, 8, 8, 3), np.uint8),
        neighbor_labels=np.zeros((1, 8), np.int64),
        similarities=np.zeros((1, 8), np.float32),
        class_names=np.array([f"class {i}" for i in range(classes)]),
        class_counts=counts,
    )


def turned(places: np.ndarray) -> np.ndarray:
    """Turned by a right angle and a bit, mirrored, larger, and elsewhere."""
    angle = 1.8
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return places @ turn * [3, -3] + [100, -7]


def test_a_turned_and_mirrored_map_is_turned_back():
    places = np.random.default_rng(0).normal(size=(50, 2)) * [4, 1]
    np.testing.assert_allclose(align(turned(places), places), places, atol=1e-9)


def test_two_maps_of_one_network_are_the_same_picture():
    rng = np.random.default_rng(0)
    places, labels = rng.normal(size=(60, 2)) * [4, 1], np.arange(60) % 3
    first = gallery(places, labels, None)
    charts = draw_maps(
        {
            "run": first,
            "file": gallery(turned(places), labels, None),
            "other images": gallery(turned(places), labels[::-1].copy(), None),
        }
    )
    run, file, other = (numbers(chart.svg) for chart in charts.values())
    np.testing.assert_allclose(file, run, atol=0.05)
    assert other.shape != run.shape or np.abs(other - run).max() > 10
    said = " ".join(describe_maps({"a": first, "b": first}))
    assert "turned to match the first" in said
    assert "turned" not in " ".join(describe_maps({"a": first}))


def numbers(svg: str) -> np.ndarray:
    """Where the points are."""
    return np.array(
        [[float(x), float(y)] for x, y in re.findall(r'x="([0-9.]+)" y="([0-9.]+)"', svg)]
    )


@pytest.mark.parametrize(
    ("classes", "shown", "each", "said"),
    [
        (2, 2, 100, None),
        (2, 2, 5000, "Shown: 200 of 10,000 test images."),
        (29, 20, 50, "Shown: the 20 most frequent of 29 classes, 200 of 1,450 test images."),
        (1000, 20, 10, "Shown: the 20 most frequent of 1,000 classes, 200 of 10,000 test images."),
    ],
)
def test_what_is_left_out_is_said(classes, shown, each, said):
    places, labels = np.ones((200, 2)), np.arange(200) % shown
    sentences = describe_maps({"run": gallery(places, labels, np.full(classes, each))})
    assert [s for s in sentences if s.startswith("Shown")] == ([said] if said else [])


def test_a_file_of_an_earlier_version_still_says_which_classes_are_missing(tmp_path):
    old = gallery(np.ones((40, 2)), np.append(np.arange(39) % 20, 28), None)
    old.save(tmp_path / "gallery.npz")
    loaded = Gallery.load(tmp_path / "gallery.npz")
    assert loaded.class_counts is None
    assert describe_maps({"run": loaded})[-1] == "Shown: the 21 most frequent of 29 classes."


@pytest.mark.parametrize("spread", [0.0, 5.0, 60.0])
def test_names_never_cover_each_other_or_leave_the_map(spread):
    rng = np.random.default_rng(1)
    classes = {
        f"a long name of a class {i}": rng.normal(rng.uniform(0, WIDTH, 2), spread, (30 + i, 2))
        for i in range(20)
    }
    chosen = place_names(classes, WIDTH)
    boxes = [name_box(name, x, y, WIDTH) for name, (x, y) in chosen.items()]
    for i, (left, bottom, right, top) in enumerate(boxes):
        assert min(left, bottom) >= -1e-9 and max(right, top) <= WIDTH + 1e-9
        for other in boxes[:i]:
            apart = left >= other[2] or other[0] >= right or bottom >= other[3] or other[1] >= top
            assert apart
    assert len(chosen) >= 5
    assert next(iter(chosen)).endswith(" 19"), "the largest class is named first"


def test_a_name_does_not_cover_the_point_that_it_names():
    point = np.array([[100.0, 100.0]])
    ((x, y),) = place_names({"cat": point}, WIDTH).values()
    _, bottom, _, _ = name_box("cat", x, y, WIDTH)
    assert x == 100 and bottom > 100 + 1.7, "above the marker"


def test_a_name_that_fits_nowhere_is_in_the_legend():
    places = np.concatenate([np.zeros((9, 2)), np.zeros((5, 2)), [[50.0, 50.0]]])
    chart = draw_map(places, np.repeat([0, 1, 2], [9, 5, 1]), ["same", "place", "elsewhere"])
    assert [entry.name for entry in chart.legend] == ["same", "place", "elsewhere"]
    assert ">same</text>" in chart.svg and ">elsewhere</text>" in chart.svg
    assert ">place</text>" not in chart.svg


def test_names_in_any_script_are_drawn_without_a_word():
    """Warnings are errors here, and one of a font would reach the user's terminal."""
    chart = draw_map(np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([0, 1]), ["犬の写真", "γάτα"])
    assert ">犬の写真</text>" in chart.svg and ">γάτα</text>" in chart.svg
    wide, narrow = (name_box(name, 150, 150, 300) for name in ("犬の写真", "dogs"))
    assert wide[2] - wide[0] == pytest.approx(2 * (narrow[2] - narrow[0]))


def test_long_names_stay_apart():
    names = [f"golden retriever {i}" for i in (10, 19)]
    chart = draw_map(np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([0, 1]), names)
    assert ">golden retr…ver 10</text>" in chart.svg and ">golden retr…ver 19</text>" in chart.svg
    assert [entry.name for entry in chart.legend] == names
