"""The arithmetic behind the Fashion-MNIST table; the training is the benchmark itself."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from xml.etree import ElementTree

import agreement
import fashion_mnist_table as table
import numpy as np
import pytest
import reproduce_fashion_mnist as reproduce

from s2bnn_tf.config import load_config
from s2bnn_tf.data import open_source

needs_fashion_mnist = pytest.mark.skipif(
    not reproduce.SOURCE.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed"
)


def options(tmp_path, **more) -> argparse.Namespace:
    page = tmp_path / "results.md"
    known = {"budget": "small", "choices": False, "set": [], "teacher": None, "page": page}
    known |= {"output_dir": tmp_path / "runs", "results": tmp_path}
    return argparse.Namespace(**{**known, **more})


def test_gap_recovery_and_spread():
    rows = {
        "baseline_sgd": {"0": {"linear": 0.70}, "1": {"linear": 0.72}},
        "teacher": {"0": {"linear": 0.90}},
        "distillation": {"0": {"linear": 0.82}, "1": {"linear": 0.83}},
    }
    assert table.gap_recovery(rows, "distillation", "0") == pytest.approx(0.6)
    assert table.gap_recovery(rows, "distillation", "1") is None, "no teacher of that seed yet"
    assert table.gap_recovery(rows, "baseline_sgd", "0") == 0
    assert table.gap_recovery(rows, "teacher", "0") is None
    assert table.spread([70.0, 72.0, 74.0]) == "72.0 ± 2.0"
    assert table.spread([70.0]) == "70.0"


@needs_fashion_mnist
def test_choices_and_test_share_only_their_training_images(tmp_path):
    folders = reproduce.make_subsets(tmp_path, 300)
    held_out, final = (
        {split: open_source(f"idx:{folder}", split) for split in ("train", "test")}
        for folder in folders
    )
    np.testing.assert_array_equal(held_out["train"].images, final["train"].images)
    assert len(final["train"]) == 300
    assert (len(held_out["test"]), len(final["test"])) == (5000, 10_000)
    seen = {image.tobytes() for image in final["train"].images}
    # Fashion-MNIST contains a few images twice, so a handful may be in both.
    assert sum(image.tobytes() in seen for image in held_out["test"].images) < 5
    assert "ankle boot" in final["train"].class_names


@needs_fashion_mnist
def test_a_partial_table_is_resumed_and_written_into_the_page(tmp_path):
    measured = {"knn": 0.7, "linear": 0.8, "ten_labels": 0.6}
    content = {"rows": {"teacher": {"0": {**measured, "linear": 0.9}}, "baseline_sgd": {}}}
    content["rows"]["baseline_sgd"]["0"] = measured
    (tmp_path / "fashion_mnist_small.json").write_text(json.dumps(content))
    started = reproduce.Table(options(tmp_path), reproduce.BUDGETS["small"])
    assert started.has("teacher", 0)
    assert not started.has("distillation", 0)
    page = tmp_path / "results.md"
    page.write_text("before\n<!-- small begins -->\nold\n<!-- small ends -->\nafter\n")
    table.publish(started.content["rows"], page, "small")
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("<!-- small ends -->\nafter\n")
    assert "old" not in text
    assert "| Teacher, real-valued ResNet-18 | 70.0 | 90.0 | 60.0 | – |" in text


def test_the_picture_places_each_seed_on_the_axis(tmp_path):
    """The best student is marked; the teacher and the untrained network recover no gap."""
    rows = {
        "teacher": {"0": {"linear": 0.90}, "1": {"linear": 0.92}},
        "untrained": {"0": {"linear": 0.55}},
        "baseline_sgd": {"0": {"linear": 0.70}, "1": {"linear": 0.72}},
        "distillation": {"0": {"linear": 0.82}, "1": {"linear": 0.82}},
    }
    page = tmp_path / "results.md"
    table.publish(rows, page, "small")
    assert not list(tmp_path.iterdir()), "there is a picture without a page"
    page.touch()
    other_seeds = {"teacher": {"1": rows["teacher"]["1"]}, "baseline_sgd": {"0": {"linear": 0.7}}}
    table.publish(other_seeds, page, "small")
    assert list(tmp_path.iterdir()) == [page], "there is a picture where no gap is known"
    table.publish(rows, page, "small")
    svg = ElementTree.parse(tmp_path / "images" / "fashion_mnist_small.svg").getroot()
    circles = list(svg.iter("{http://www.w3.org/2000/svg}circle"))
    at = [(float(c.get("cx")), float(c.get("cy"))) for c in circles]
    assert [y for _, y in at] == [at[0][1]] * 2 + [at[2][1]] + [at[3][1]] * 2 + [at[5][1]] * 2
    pixels_per_point = (at[0][0] - at[2][0]) / 35  # 90 and 55 percent
    assert at[1][0] - at[3][0] == pytest.approx(22 * pixels_per_point, abs=0.2)  # 92 and 70
    assert [c.get("class") for c in circles] == [None] * 5 + ["best"] * 2
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if "%" in text] == ["55 %"]  # the mean of 60 and 50


@needs_fashion_mnist
def test_two_processes_write_one_table(tmp_path):
    """Each process keeps what the other has measured since it read the file."""
    one, other = (reproduce.Table(options(tmp_path), reproduce.BUDGETS["small"]) for _ in range(2))
    one.record("teacher", 0, {"linear": 0.9})
    other.record("teacher", 1, {"linear": 0.8})
    one.record("distillation", 0, {"linear": 0.7})
    rows = json.loads((tmp_path / "fashion_mnist_small.json").read_text())["rows"]
    assert {row: set(seeds) for row, seeds in rows.items()} == {
        "teacher": {"0", "1"},
        "distillation": {"0"},
    }


@needs_fashion_mnist
@pytest.mark.slow
def test_rows_are_trained_measured_and_not_trained_again(tmp_path, monkeypatch, capsys):
    """Teacher, baseline, two steps of distillation, and all labels, as small as possible."""
    rows = ("teacher", "untrained", "baseline_sgd", "distillation", "supervised")
    tiny = dataclasses.replace(
        reproduce.BUDGETS["small"],
        images=256,
        teacher_epochs=1,
        epochs=2,
        settings=("student.width=0.0625", "objective.queue_size=256"),
        teacher_settings=("optimizer.warmup_epochs=0",),
        rows=rows,
    )
    monkeypatch.setitem(reproduce.BUDGETS, "small", tiny)
    where = ["--output-dir", tmp_path / "runs", "--results", tmp_path, "--page", tmp_path / "no.md"]
    monkeypatch.setattr(sys, "argv", ["reproduce", "--choices", *map(str, where)])
    reproduce.main()
    content = json.loads((tmp_path / "fashion_mnist_small_choices.json").read_text())
    assert tuple(content["rows"]) == rows
    distilled = content["rows"]["distillation"]["0"]
    assert 0.1 < distilled["knn"] < 1
    assert distilled["peak_memory_mib"] > 100
    assert distilled["processor_minutes"] > 0
    assert distilled["calibration"]["teacher_entropy"] > 0
    supervised = content["rows"]["supervised"]["0"]
    assert 0.1 < supervised["linear"] < 1
    assert supervised["peak_memory_mib"] > 100
    assert supervised["images_per_processor_second"] == pytest.approx(
        256 * 2 / 60 / supervised["processor_minutes"]
    )
    finetuned = tmp_path / "runs" / "small" / "seed0" / "untrained" / "eval" / "finetune.json"
    assert json.loads(finetuned.read_text())["augmentation"]["crop_scale"] == [0.3, 1.0]
    step2 = tmp_path / "runs" / "small" / "seed0" / "distillation_step2"
    assert str(step2.with_name("distillation_step1")) in (step2 / "config.yaml").read_text()
    assert "Distillation only, two steps" in capsys.readouterr().out

    monkeypatch.setattr(reproduce, "train", None)  # a second time there is nothing to train
    reproduce.main()


@needs_fashion_mnist
def test_the_commands_of_two_steps(tmp_path):
    started = reproduce.Table(options(tmp_path), reproduce.BUDGETS["small"])
    runs = tmp_path / "seed2"
    teacher = started.runs / "seed2" / "teacher"
    first = started.command("distillation", runs / "distillation_step1", None, 2)
    second = started.command("distillation", runs / "distillation_step2", runs / "one", 2)
    half = reproduce.BUDGETS["small"].epochs // 2
    for command in (first, second):
        assert {"seed=2", f"epochs={half}", f"teacher.weights={teacher}"} < set(command)
    assert f"student.init_from={runs / 'one'}" in second
    assert not [part for part in first if part.startswith("student.init_from")]
    assert f"epochs={2 * half}" in started.command("baseline_sgd", runs / "baseline_sgd", None, 2)


@needs_fashion_mnist
def test_the_settings_of_a_row_and_those_of_its_first_step(tmp_path):
    started = reproduce.Table(options(tmp_path), reproduce.BUDGETS["small"])
    steps = (tmp_path / "regression_step1", None), (tmp_path / "regression_step2", tmp_path / "a")
    for row, change, first_alone in (
        ("regression_mixup_weak", "objective.mixup=true", False),
        ("regression_decay", "optimizer.weight_decay=5e-6", True),
    ):
        first, second = (started.command(row, run, before, 0) for run, before in steps)
        assert change in first
        assert (change in second) is not first_alone


@pytest.mark.parametrize("row", sorted(table.ROWS))
def test_every_row_names_recipes_that_take_its_settings(row):
    about = table.ROWS[row]
    for number, recipe in enumerate(about.recipes):
        path = reproduce.ROOT / "configs" / "fashion_mnist" / f"{recipe}.yaml"
        load_config(path, [*about.settings, *(about.in_step1 if number == 0 else ())])


@needs_fashion_mnist
def test_raw_pixels_are_measured(tmp_path):
    """On 300 images; a nearest neighbor among all of them finds more."""
    held_out, _ = reproduce.make_subsets(tmp_path, 300)
    found = reproduce.measure_pixels(f"idx:{held_out}")
    assert 0.6 < found["knn"] < 0.8 and 0.6 < found["linear"] < 0.85


def test_agreement_is_correlated_over_students_and_over_rows():
    """Seeds that disorder a row count among the students, and not among the rows' means."""

    def student(linear: float, rank: float) -> dict:
        found = {"kl_mean": 1 - rank, "kl_of_uniform_mean": 2.0, "same_largest_coordinate": rank}
        return {"linear": linear, "calibration": {"rank_agreement_mean": rank, **found}}

    rows = {
        "untrained": {"0": {"linear": 0.1, "calibration": {}}},
        "distillation": {"0": student(0.80, 0.20), "1": student(0.81, 0.19)},
        "similarity": {"0": student(0.85, 0.5)},
        "regression": {"0": student(0.90, 0.9)},
    }
    points = agreement.read_points(rows)
    assert [point["row"] for point in points] == ["distillation"] * 2 + ["similarity", "regression"]
    assert points[0]["kl_left"] == pytest.approx(0.4)
    lines = agreement.as_table(points).splitlines()
    assert lines[0].startswith("| agreement | Spearman, 4 students |")
    assert lines[2].split("|")[2:5:2] == [" 0.80 ", " 1.00 "]  # one pair of neighbors is swapped
    assert lines[3].split("|")[2:5:2] == [" -0.80 ", " -1.00 "]
    svg = ElementTree.fromstring(agreement.picture(points))
    circles = list(svg.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(circles) == 4 + 3  # and the legend
