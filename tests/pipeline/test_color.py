"""Whether pictures have color, and what a plan makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from s2bnn_tf.pipeline import Look, Options
from s2bnn_tf.pipeline.color import have_color
from s2bnn_tf.pipeline.look import look_at
from s2bnn_tf.pipeline.plan import make_plan


def test_gray_pictures_with_a_faint_tint_have_no_color():
    rng = np.random.default_rng(0)
    gray = np.repeat(rng.integers(0, 256, (20, 16, 16, 1)), 3, axis=-1)
    faint = np.clip(gray + [3, 0, -3], 0, 255)
    colored = rng.integers(0, 256, (20, 16, 16, 3))
    assert not have_color(gray) and not have_color(faint) and have_color(colored)
    assert have_color([*colored[:3], *gray[:17]]) and not have_color([*colored[:1], *gray[:19]])


def test_photographs_have_color_and_digits_have_none(crops, tmp_path):
    assert look_at(str(crops), tmp_path, share=0.2).color
    assert not look_at("digits", tmp_path, share=0.2).color


def test_small_gray_pictures_are_changed_otherwise(tmp_path):
    photographs = Look("digits", 500, 0, (), 200)
    small = Look("digits", 20_000, 0, (), 28, color=False)
    options = Options(overrides=("steps=9",))
    plans = [make_plan(look, options, 0.0, timed=False) for look in (photographs, small)]
    data = [plan.config("teacher").data for plan in plans]
    assert [d.jitter_probability for d in data] == [0.2, 0.9]
    assert [d.crop_scale for d in data] == [(0.15, 1.0), (0.3, 1.0)]
    assert [d.center_crop for d in data] == [0.875, 1.0]
    assert [d.batch_size for d in data] == [64, 64]
    assert [plan.config("student").data.jitter_probability for plan in plans] == [0.2, 0.9]
    assert "cannot tell the pictures apart: 90 %" in "\n".join(plans[1].lines())
    assert plans[0].config("student").steps == 9 and not plans[0].minutes


@pytest.mark.parametrize(
    ("given", "input_", "stem"),
    [
        ("data.image_size=[96,320]", "96x320 pixels", "medium"),
        ("data.image_size=[48,320]", "48x320 pixels", "small"),
        ("student.stem=small", "96x96 pixels", "small"),
        ("data.channels=1", "96x96 gray pixels", "medium"),
    ],
)
def test_a_size_and_channels_of_ones_own_win(given, input_, stem):
    options = Options(overrides=(given, "steps=9"))
    plan = make_plan(Look("digits", 500, 0, (), 200), options, 0.0, timed=False)
    lines = "\n".join(plan.lines())
    assert f"input      {input_}," in lines and f"{stem} stem" in lines
    data = [plan.config(stage).data for stage in ("teacher", "step1", "student")]
    assert len({part.shape for part in data}) == 1
    gray = given == "data.channels=1"  # then color cannot tell the pictures apart
    assert {part.jitter_probability for part in data} == {0.9 if gray else 0.2}
