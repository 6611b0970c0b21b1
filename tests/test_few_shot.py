"""The few-shot table: fair draws, and the table where the page has its marks."""

from __future__ import annotations

import few_shot
import numpy as np
import pytest


def test_draws_are_balanced_and_the_fewer_are_among_the_more():
    labels = np.random.default_rng(0).integers(0, 4, 500)
    drawn = few_shot.draw(labels, draws=3)
    for shots in few_shot.SHOTS:
        for rows in drawn[shots]:
            assert np.bincount(labels[rows]).tolist() == [shots] * 4
            assert len(set(rows)) == len(rows)
    for fewer, more in zip(few_shot.SHOTS, few_shot.SHOTS[1:]):
        assert all(set(a) < set(b) for a, b in zip(drawn[fewer], drawn[more]))
    assert set(drawn[1][0]) != set(drawn[1][1])


def test_the_table_goes_between_its_marks(tmp_path):
    accuracies = {name: {str(n): [0.5, 0.7] for n in few_shot.SHOTS} for name in few_shot.TITLES}
    table = few_shot.make_table(accuracies)
    assert "| teacher | 60.0 ± 14.1 % |" in table
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- few-shot begins -->\nold\n<!-- few-shot ends -->\nb\n")
    few_shot.write_between_marks(page, "few-shot", table)
    few_shot.write_between_marks(page, "few-shot", table)
    text = page.read_text()
    assert text.startswith("a\n") and text.endswith("-->\nb\n")
    assert "old" not in text and text.count(table) == 1


def test_two_kinds_of_a_class_need_two_prototypes():
    """Their mean lies with the other class."""
    pytest.importorskip("s2bnn_runtime")
    rng = np.random.default_rng(0)
    centers = np.array([[1.0, 0, 0.1], [-1.0, 0, 0.1], [0.0, 0.3, 1]])
    features = centers[np.arange(60) % 3] + rng.normal(0, 0.02, (60, 3))
    labels = np.where(np.arange(60) % 3 == 2, 1, 0)
    rows = np.arange(30)
    found = [
        few_shot.accuracy(features, labels, rows, features[30:], labels[30:], count)
        for count in few_shot.PROTOTYPES
    ]
    assert found[0] < 0.9
    assert found[1:] == [1, 1]
    several = {str(s): {str(n): [0.5, 0.7] for n in few_shot.PROTOTYPES} for s in few_shot.SEVERAL}
    assert "| 4 | 60.0 ± 14.1 % | 60.0" in few_shot.make_prototypes_table(several)
