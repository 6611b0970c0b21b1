"""Several models in one table and one page."""

from __future__ import annotations

import json

import pytest

from s2bnn_tf.config import Config, dump_config
from s2bnn_tf.errors import UserError
from s2bnn_tf.report import compare_models, describe_comparison


@pytest.fixture
def runs(tmp_path):
    """Two runs of the same name in different places, and a deployed file."""
    for place, top1 in (("first", 0.5), ("second", 0.75)):
        run = tmp_path / place / "student"
        (run / "eval").mkdir(parents=True)
        (run / "config.yaml").write_text(dump_config(Config()))
        (run / "metrics.jsonl").write_text('{"epoch": 1, "loss": 2.0, "knn": 0.5}\n')
        result = {"metric": "knn", "top1": top1, "top5": 1.0, "size_bytes": 2048}
        result |= {"k": 20, "temperature": 0.07, "n_train": 100, "n_test": 10}
        (run / "eval" / "knn.json").write_text(json.dumps(result))
    model = tmp_path / "student.tflite"
    model.write_bytes(b"model")
    (tmp_path / "student.eval").mkdir()
    (tmp_path / "student.eval" / "knn.json").write_text(json.dumps({**result, "top1": 0.7}))
    latency = {
        "latency_ms": {"median": 2.5},
        "runs": 3,
        "threads": 1,
        "machine": "m",
        "engine": "e",
    }
    (tmp_path / "student.eval" / "benchmark.json").write_text(json.dumps(latency))
    return [tmp_path / "first" / "student", tmp_path / "second" / "student", model]


def test_one_table_and_one_page(runs, tmp_path):
    report = tmp_path / "compare.html"
    compared = compare_models(runs, report)
    assert [model["knn"]["top1"] for model in compared["models"].values()] == [0.5, 0.75, 0.7]
    text = describe_comparison(compared, report).replace("\N{NO-BREAK SPACE}", " ")
    lines = text.splitlines()
    assert lines[0].split() == [
        "first/student",
        "second/student",
        f"{tmp_path.name}/student.tflite",
    ]
    assert lines[1].split() == ["kNN", "accuracy", "50.0", "%", "75.0", "%", "70.0", "%"]
    assert any(line.split() == ["Latency", "–", "–", "2.50", "ms"] for line in lines)
    page = report.read_text(encoding="utf-8")
    assert "Best by nearest neighbors: second/student, 75.0 %." in page
    assert "embedding_dim" in page, "the recipes"


def test_what_cannot_be_compared(runs, tmp_path):
    with pytest.raises(UserError, match="named twice"):
        compare_models([runs[0], runs[0]])
    with pytest.raises(UserError, match="neither a run directory nor"):
        compare_models([runs[0], tmp_path / "nothing"])
    (runs[0] / "eval" / "knn.json").unlink()
    with pytest.raises(UserError, match="has no results yet; run `s2bnn eval knn"):
        compare_models(runs[:1])


def test_one_model_without_results_is_named_and_the_others_are_compared(runs, tmp_path):
    (runs[0] / "eval" / "knn.json").unlink()
    report = tmp_path / "compare.html"
    compared = compare_models(runs, report)
    assert compared["unmeasured"] == {"first/student": str(runs[0])}
    assert [
        text.replace("\N{NO-BREAK SPACE}", " ") for text in compared["table"]["kNN accuracy"]
    ] == [
        "–",
        "75.0 %",
        "70.0 %",
    ]
    said = describe_comparison(compared)
    assert f"first/student has not been measured; run `s2bnn eval knn {runs[0]}`." in said
    page = report.read_text(encoding="utf-8")
    assert "Best by nearest neighbors of the 2 that have one: second/student, 75.0 %." in page
    assert "Not measured yet: first/student." in page


def test_no_best_is_named_of_models_that_were_measured_on_other_images(runs, tmp_path):
    for run, data in zip(runs, ("folder:cats", "folder:dogs")):
        path = run / "eval" / "knn.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "data": data}))
    report = tmp_path / "compare.html"
    compare_models(runs[:2], report)
    page = report.read_text(encoding="utf-8")
    assert "These models were measured in different ways, so that none can be called best." in page
    assert "Best by" not in page
    assert "first/student: 10 test images of folder:cats with k 20" in page


def test_a_benchmark_alone_is_a_result(runs):
    (runs[2].parent / "student.eval" / "knn.json").unlink()
    compared = compare_models(runs)
    assert compared["unmeasured"] == {}
    assert compare_models(runs[2:])["table"].keys() == {"Latency"}
    (model,) = (found for name, found in compared["models"].items() if name.endswith(".tflite"))
    assert model["latency"]["latency_ms"]["median"] == 2.5
