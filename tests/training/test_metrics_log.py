"""The part of metrics.jsonl that is kept after a crash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s2bnn_tf.training.metrics_log import keep_metrics

ROWS = [{"epoch": epoch, "step": 5 * epoch, "loss": 1.0 / epoch} for epoch in range(1, 5)]
LINES = [json.dumps(row) + "\n" for row in ROWS]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "metrics.jsonl"


@pytest.mark.parametrize(
    ("text", "epochs", "kept"),
    [
        ("".join(LINES), 4, 4),
        ("".join(LINES), 2, 2),
        ("".join(LINES), 0, 0),
        ("".join(LINES[:3]) + LINES[3][:17], 4, 3),  # the power went while it was written
        ("".join(LINES[:3]) + LINES[3].rstrip(), 4, 4),  # all but its end of line
        (LINES[0] + "\n" + LINES[1], 4, 2),  # an empty line is no damage
        ("", 4, 0),
    ],
)
def test_whole_lines_of_finished_epochs_are_kept(text, epochs, kept, path):
    path.write_text(text)
    keep_metrics(path, epochs=epochs)
    assert path.read_text() == "".join(LINES[:kept])
    assert list(path.parent.iterdir()) == [path]


def test_nothing_to_keep(path):
    keep_metrics(path, epochs=3)
    assert not path.exists()
