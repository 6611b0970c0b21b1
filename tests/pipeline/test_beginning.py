"""What the weights of a student begin with."""

from __future__ import annotations

import numpy as np
import pytest

from s2bnn_tf.backbones import build_backbone
from s2bnn_tf.errors import ConfigError, UserError
from s2bnn_tf.pipeline import Options
from s2bnn_tf.pipeline.beginning import begin_with, describe_beginning, restore_starter
from s2bnn_tf.pipeline.choices import choose
from s2bnn_tf.pipeline.look import Look
from s2bnn_tf.pipeline.options import check_overrides
from s2bnn_tf.pipeline.plan import Plan
from s2bnn_tf.pipeline.recipes import load
from s2bnn_tf.runs import copy_tflite

LOOK = Look("digits", 400, 100, ("a", "b"), 80, color=True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def begun(size: str, *overrides: str, init: str | None = None) -> str | None:
    """What the first step of a student begins with."""
    recipes = choose(LOOK, Options(size=size, init=init, overrides=overrides), size, 16)
    return load("step1", recipes["step1"]).student.init_from


def test_a_student_of_the_starters_network_begins_as_the_starter(tmp_path):
    starter = str(tmp_path / "cache" / "starter" / "starter.tflite")
    assert begun("medium") == begun("small") == begun("medium", init="starter") == starter
    recipes = choose(LOOK, Options(), "medium", 16)
    assert "starter" not in str(load("student", recipes["student"]).student.init_from)
    lines = Plan(Options(), LOOK, recipes, {}, 0).lines()
    assert "begins with the starter" in lines[4]
    assert "its own, by contrast, and the starter beside it:" in lines[5]


@pytest.mark.parametrize(
    "override",
    ["student.width=0.5", "student.reverse_input=true", "data.channels=1"],
)
def test_another_network_begins_with_random_weights(override):
    assert begun("medium", override) is None
    assert begun("large") is None


def test_the_user_chooses(tmp_path):
    assert begun("medium", init="random") is None
    assert begun("medium", "student.init_from=null") is None
    (tmp_path / "random").mkdir()
    assert begun("medium", init="random") == "random"
    (tmp_path / "starter").mkdir()  # the default is the starter, whatever else has its name
    assert begun("medium") == str(tmp_path / "cache" / "starter" / "starter.tflite")
    assert begun("medium", init="starter") == "starter"
    with pytest.raises(UserError, match="runs/absent does not exist"):
        begin_with("runs/absent", load("step1", ()))
    for named, words in (("null", "random weights"), ("runs/other", "runs/other")):
        config = load("step1", (f"student.init_from={named}",))
        assert describe_beginning(None, config) == words


def test_without_a_place_for_the_starter_the_student_begins_with_random_weights(
    tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path / "file" / "cache"))
    assert begun("medium") is None
    with pytest.raises(UserError, match="set S2BNN_CACHE"):
        begun("medium", init="starter")
    student = load("step1", choose(LOOK, Options(), "medium", 16)["step1"])
    said = describe_beginning(None, student)
    assert said.startswith("random weights. Cannot write to ")
    assert said.endswith("; set S2BNN_CACHE to another folder")
    assert describe_beginning("random", student) == "random weights"


def test_who_chooses_another_beginning_has_one_teacher():
    for options, beside in (
        (Options(), True),
        (Options(init="starter"), True),
        (Options(init="random"), False),
        (Options(overrides=("student.init_from=null",)), False),
    ):
        recipes = choose(LOOK, options, "medium", 16)
        teacher = load("step1", recipes["step1"]).teacher
        assert teacher is not None and (teacher.beside is not None) == beside


def test_the_plan_names_whatever_is_beside_a_teacher(tmp_path):
    options = Options(overrides=("teacher.beside=runs/other",))
    recipes = choose(LOOK, options, "medium", 16)
    assert ", and runs/other beside it:" in Plan(options, LOOK, recipes, {}, 0).lines()[5]


def test_a_cache_that_was_deleted_gets_the_starter_again(tmp_path):
    recipes = choose(LOOK, Options(), "medium", 16)
    first, second = (load(stage, recipes[stage]) for stage in ("step1", "student"))
    (tmp_path / "runs").mkdir()
    for config in (first, second):  # by the second stage, the starter is a teacher alone
        copy = tmp_path / "cache" / "starter" / "starter.tflite"
        copy.unlink()
        restore_starter(config)
        assert copy.is_file()
    own = load("step1", (f"student.init_from={tmp_path / 'runs' / 'starter.tflite'}",))
    restore_starter(own)
    assert not list((tmp_path / "runs").iterdir())


def test_words_are_of_one_teacher():
    options = Options(teacher="clip_vit_b32", words="w.txt", overrides=("teacher.beside=starter",))
    with pytest.raises(ConfigError, match=r"leave teacher\.beside out"):
        check_overrides(options)


@pytest.mark.parametrize(
    "shape, stem", [((72, 96), "medium"), ((65, 65), "medium"), ((33, 36), "small")]
)
def test_sides_that_the_strides_do_not_divide_take_the_starters_weights(shape, stem):
    backbone = build_backbone("reactnet", (*shape, 3), stem=stem, width=0.25)
    before = backbone.get_weights()
    copy_tflite(str(begun("medium")), backbone)
    assert any((a != b).any() for a, b in zip(before, backbone.get_weights(), strict=True))


def test_both_stems_take_the_starters_weights():
    """They differ in a stride, so that all weights are the same."""
    weights = []
    for side, stem in ((32, "small"), (64, "medium")):
        backbone = build_backbone("reactnet", (side, side, 3), stem=stem, width=0.25)
        copy_tflite(str(begun("medium")), backbone)
        weights.append(backbone.get_weights())
    for small, medium in zip(*weights, strict=True):
        np.testing.assert_array_equal(small, medium)
