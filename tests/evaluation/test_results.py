"""Where results lie, and what counts as one."""

from __future__ import annotations

import pytest

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.evaluation.results import read_results, results_dir


def test_results_lie_in_the_run_or_beside_the_file(tmp_path):
    assert results_dir(tmp_path) == tmp_path / "eval"
    assert results_dir(tmp_path / "student.tflite") == tmp_path / "student.eval"


def test_a_missing_result_is_none_and_a_damaged_one_says_so(tmp_path):
    assert read_results(tmp_path, "knn") is None
    (tmp_path / "eval").mkdir()
    for content in ('{"top1": 0.', '{"top1": "0.9"}', '{"top1": Infinity}', "[]", "\x00"):
        (tmp_path / "eval" / "knn.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"knn.json is damaged .*; run `s2bnn eval knn"):
            read_results(tmp_path, "knn")


def test_results_are_neither_read_nor_written_through_links(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run = tmp_path / "run"
    run.mkdir()
    (run / "eval").symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match="eval is a symbolic link, which is not followed"):
        results_dir(run)
    model = tmp_path / "student.tflite"
    (tmp_path / "student.eval").mkdir()
    (tmp_path / "student.eval" / "features").symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match="features is a symbolic link"):
        results_dir(model)
