"""Whether a fit stores its teacher's targets, and which files of features it takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.config import Config
from s2bnn_tf.data import Listed, write_list
from s2bnn_tf.errors import DataError
from s2bnn_tf.pipeline.look import Look
from s2bnn_tf.pipeline.options import Options
from s2bnn_tf.pipeline.plan import make_plan
from s2bnn_tf.pipeline.storing import centered, check_features, may_store, store_targets
from s2bnn_tf.training import Cost


@pytest.mark.parametrize(
    ("crop_seconds", "pictures", "seconds", "crops"),
    [
        (0.03, 500, 1200, 8),  # 12 crops take 15 % of the time
        (0.03, 50, 1200, 32),  # as many as ever
        (0.03, 500, 300, None),  # fewer than 4
        (0.002, 500, 1200, None),  # the teacher is as small as the student
    ],
)
def test_a_large_teacher_stores_as_many_crops_as_there_is_time_for(
    crop_seconds, pictures, seconds, crops
):
    cost = Cost(0.2, 5.0, crop_seconds)
    config, recipes = Config(), {"step1": ("seed=1",), "student": ("seed=2",)}
    config = replace(config, data=replace(config.data, batch_size=32))
    costs = {"step1": cost, "student": cost}
    changed, timed, spent = store_targets(recipes, costs, config, pictures, seconds, stores=True)
    if crops is None:
        assert changed == recipes and spent == 0
        assert timed["student"].seconds == timed["step1"].seconds == 0.2 + 32 * crop_seconds
    else:
        stored = ("teacher.cache=true", f"teacher.crops={crops}")
        assert changed == {"step1": ("seed=1", *stored), "student": ("seed=2", *stored)}
        assert timed == costs and spent == crops * pictures * crop_seconds <= 0.15 * seconds


def test_what_the_user_decides_is_not_decided_again():
    assert may_store("runs/teacher", ())
    for change in ("teacher.cache=false", "teacher.crops=8"):
        assert not may_store("runs/teacher", (change,))
    for teacher in (None, "features.npz", "python:mine"):
        assert not may_store(teacher, ())
    assert centered(()) == ("teacher.reduce_to=128",)
    for change in ("teacher.center=false", "teacher.reduce_to=64"):
        assert centered((change,)) == ()


def test_features_of_held_out_pictures_are_needed_too(tmp_path):
    names = [f"{number}.png" for number in range(4)]
    for name in names:
        Image.new("RGB", (12, 12)).save(tmp_path / name)
    images = [Listed(tmp_path / name, split="test" * (name == "3.png")) for name in names]
    write_list(tmp_path / "images.tsv", images)
    look = Look(f"list:{tmp_path / 'images.tsv'}", 3, 1, (), 12)
    features = tmp_path / "features.npz"
    for kept in (4, 3):
        rows = {"features": np.ones((kept, 2), np.float32), "paths": np.array(names[:kept])}
        np.savez(features, **rows)
        if kept == 4:
            check_features(str(features), look)
            options = Options(teacher=str(features), overrides=("steps=9",))
            config = make_plan(look, options, 0.0, timed=False).config("student")
            assert config.teacher.weights == str(features) and config.teacher.reduce_to == 128
            assert (config.student.embedding_dim, config.steps) == (2, 9)
    with pytest.raises(DataError, match="no features, by path, of 1 of the 1 pictures.*3.png"):
        check_features(str(features), look)
