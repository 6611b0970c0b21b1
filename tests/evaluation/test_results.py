"""Where results lie, and what counts as one."""

from __future__ import annotations

from s2bnn_tf.evaluation.results import read_results, results_dir


def test_results_lie_in_the_run_or_beside_the_file(tmp_path):
    assert results_dir(tmp_path) == tmp_path / "eval"
    assert results_dir(tmp_path / "student.tflite") == tmp_path / "student.eval"


def test_what_is_missing_or_broken_is_no_result(tmp_path):
    assert read_results(tmp_path, "knn") is None
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "knn.json").write_text('{"top1": 0.')
    assert read_results(tmp_path, "knn") is None
