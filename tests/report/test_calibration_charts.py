"""Charts as files of their own: a legend that covers nothing, and light and dark."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from s2bnn_tf.report import draw_calibration

RESULT = {
    "dimensions": 4,
    "uniform_entropy": 1.386,
    **{
        name: {
            "entropy_mean": 1.2,
            "mean_sorted_distribution": [0.5, 0.3, 0.2, 0.1],
            "entropy_histogram": {"from": 0.0, "to": 1.4, "counts": [1, 2, 9]},
        }
        for name in ("teacher", "student")
    },
}


def test_the_legend_is_above_the_chart(tmp_path):
    draw_calibration(RESULT, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "calibration_distribution.svg",
        "calibration_entropy.svg",
    ]
    for path in tmp_path.iterdir():
        text = path.read_text("utf-8")
        svg = ElementTree.fromstring(text)
        _, top, _, height = map(float, svg.attrib["viewBox"].split())
        names = [e for e in svg.iter() if e.text and re.search("teacher$|student$", e.text)]
        assert [name.text.split()[-1] for name in names] == ["teacher", "student"]
        assert all(top + 10 < float(name.attrib["y"]) < 0 for name in names), "drawn above y = 0"
        assert top < 0 < height + top
        assert "color-scheme: light dark" in text
