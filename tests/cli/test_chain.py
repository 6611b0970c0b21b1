"""The whole chain on digits, verb by verb, each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.datasets import load_sample_images

from s2bnn_tf.cli import main

SHORT = ("--set", "epochs=1", "--set", "monitor.knn_every=0")
NARROW = ("--set", "student.width=0.0625")


@pytest.fixture(scope="module")
def teacher(s2bnn, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("chain") / "teacher"
    s2bnn("train", "configs/digits/teacher.yaml", "--output-dir", run, *SHORT, *NARROW)
    return run


@pytest.fixture(scope="module")
def student(s2bnn, teacher) -> Path:
    """Both steps of distillation."""
    by_teacher = ("--set", f"teacher.weights={teacher}", *SHORT, *NARROW)
    step1, step2 = teacher.parent / "step1", teacher.parent / "step2"
    recipes = "configs/digits/distillation_step"
    s2bnn("train", f"{recipes}1.yaml", "--output-dir", step1, *by_teacher)
    init = ("--set", f"student.init_from={step1}")
    trained = s2bnn("train", f"{recipes}2.yaml", "--output-dir", step2, *by_teacher, *init)
    assert "epoch 1/1  loss" in trained.stderr
    assert "images/s" in trained.stderr
    return step2


@pytest.fixture(scope="module")
def classifier(s2bnn, student) -> Path:
    """The student with its linear probe, converted."""
    model = student.parent / "classifier.tflite"
    probe = s2bnn("eval", "linear", student, "--json").json
    card = s2bnn("convert", student, model, "--head", "linear", "--json").json
    assert card["binary_convolutions"] == 26
    assert card["labels"] == list("0123456789")
    own = s2bnn("eval", "linear", model, "--json").json
    assert own["n_test"] == probe["n_test"] == 360
    assert own["top1"] == pytest.approx(probe["top1"], abs=0.02)
    return model


def here(*arguments: object) -> str:
    """The standard output of a verb in this process, where another one has shown that it starts."""
    done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_run_directory_holds_what_the_documentation_says(student):
    names = {path.name for path in student.iterdir()}
    assert {"config.yaml", "metrics.jsonl", "checkpoints", "encoder.weights.h5"} <= names
    assert "report.html" in names
    metrics = json.loads((student / "metrics.jsonl").read_text())
    assert metrics["epoch"] == 1
    assert 0 < metrics["loss"] < 10


def test_the_same_command_again_leaves_a_finished_run(s2bnn, teacher):
    before = (teacher / "encoder.weights.h5").read_bytes()
    again = s2bnn("train", "configs/digits/teacher.yaml", "--output-dir", teacher, *SHORT, *NARROW)
    assert "epoch" not in again.stderr
    assert (teacher / "encoder.weights.h5").read_bytes() == before


@pytest.mark.both_sets
def test_the_deployed_file_is_evaluated_like_the_run(s2bnn, student):
    model = student.parent / "features.tflite"
    s2bnn("convert", student, model)
    run, file = (s2bnn("eval", "knn", path, "--json").json for path in (student, model))
    assert file["top1"] == pytest.approx(run["top1"], abs=0.02)
    assert (run["k"], run["temperature"], run["n_train"]) == (20, 0.07, 1437)
    assert json.loads((student / "eval" / "knn.json").read_text()) == run
    assert json.loads((student.parent / "features.eval" / "knn.json").read_text()) == file
    assert f"{100 * run['top1']:.1f}" in (student / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.both_sets
def test_fit_keeps_the_terminal_clean(s2bnn, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(60):
        photograph = load_sample_images().images[number % 2]
        top, left = rng.integers(0, (300, 500)).tolist()
        crop = Image.fromarray(photograph[top : top + 100, left : left + 100])
        (tmp_path / "photos").mkdir(exist_ok=True)
        crop.save(tmp_path / f"photos/{number}.jpg")
    brief = ("--size", "small", "--set", "steps=30", "--set", "data.batch_size=8")
    s2bnn("fit", tmp_path / "photos", "--output-dir", tmp_path / "run", *brief)
    assert (tmp_path / "run/student.tflite").exists()


def test_benchmark(s2bnn, classifier):
    measured = s2bnn("benchmark", classifier, "--runs", "3", "--json").json
    assert measured["size_bytes"] == classifier.stat().st_size
    assert measured["latency_ms"]["median"] > 0
    (row,) = (row for row in measured["operation_table"] if row["name"] == "LceBconv2d")
    assert row["count"] == 26
    assert "1-bit MACs" in here("benchmark", classifier, "--runs", "3")


def test_calibration_and_comparison(s2bnn, teacher, student, classifier, tmp_path):
    found = s2bnn("eval", "calibration", student, "--views", "100", "--json").json
    assert found["teacher_weights"] == str(teacher), "the recipe's"
    assert found["kl_mean"] > 0
    here("eval", "low-label", student, "--labels", "3", "--draws", "2")
    report = tmp_path / "compare.html"
    shown = here("compare", student, classifier, "--report", report)
    for words in ("Linear probe, 3 labels per class", "KL from the teacher", "classifier.tflite"):
        assert words in shown
    assert 'id="calibration"' in report.read_text()


def test_embed_photographs(s2bnn, student, classifier, tmp_path):
    for number, photograph in enumerate(load_sample_images().images):
        Image.fromarray(photograph).save(tmp_path / f"{number}.jpg")
    (tmp_path / "2.jpg").write_text("no image")
    output = tmp_path / "embeddings.npz"
    done = s2bnn("embed", student, tmp_path, "--output", output, "--json", code=1)
    assert done.json["images"] == 2
    assert done.json["skipped"] == 1
    assert done.stderr.splitlines()[-1] == (
        f"1 image cannot be read and was left out: {tmp_path / '2.jpg'} (not an image)."
    )
    with np.load(output) as arrays:
        assert [Path(path).name for path in arrays["paths"]] == ["0.jpg", "1.jpg"]
        np.testing.assert_allclose(np.linalg.norm(arrays["embeddings"], axis=1), 1, rtol=1e-5)
    done = s2bnn("embed", classifier, tmp_path, "--output", output, "--json", code=1)
    assert (done.json["logit_dim"], "feature_dim" in done.json) == (10, False)
    with np.load(output) as arrays:  # a file has one output, which is not written twice
        assert sorted(arrays.files) == ["logits", "paths"]


def test_summary(s2bnn, student):
    counts = s2bnn("summary", student, "--json").json
    table = here("summary", student)
    assert counts["binary_macs"] == 2162688  # as the converted file's operations have it
    assert "block13_conv1x1" in table
    assert counts["memory"]["teacher_left_out"] is None
    assert "of memory without a GPU" in table
