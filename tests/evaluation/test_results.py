"""Files appear whole or not at all."""

from __future__ import annotations

import json
import os

import pytest

from s2bnn_tf.evaluation.results import read_results, replace_file, results_dir, write_json


def test_results_lie_in_the_run_or_beside_the_file(tmp_path):
    assert results_dir(tmp_path) == tmp_path / "eval"
    assert results_dir(tmp_path / "student.tflite") == tmp_path / "student.eval"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "knn.json"
    write_json(path, {"top1": 0.5})

    def fail(file):
        file.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, fail)
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"top1": float("nan")})
    assert json.loads(path.read_text()) == {"top1": 0.5}
    assert os.listdir(tmp_path) == ["knn.json"]


def test_files_are_as_readable_as_any_other(tmp_path):
    (tmp_path / "plain").touch()
    write_json(tmp_path / "knn.json", {})
    assert (tmp_path / "knn.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_missing_or_broken_is_no_result(tmp_path):
    assert read_results(tmp_path, "knn") is None
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "knn.json").write_text('{"top1": 0.')
    assert read_results(tmp_path, "knn") is None
