"""A plan fits into the memory, or is refused."""

from __future__ import annotations

import pytest

from s2bnn_tf.config import load_config
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.pipeline import Look, Options
from s2bnn_tf.pipeline.choices import choose_what_fits
from s2bnn_tf.pipeline.recipes import load
from s2bnn_tf.pipeline.room import count_memory
from s2bnn_tf.recipes import config_path
from s2bnn_tf.runs import leave_untrained

LOOK = Look(source="digits", train=1437, test=360, class_names=(), side=64, said=())


def sizes(recipes) -> dict[str, tuple[int, int]]:
    data = {stage: load(stage, changes).data for stage, changes in recipes.items()}
    return {stage: (found.image_size, found.batch_size) for stage, found in data.items()}


@pytest.fixture(scope="module")
def best():
    return choose_what_fits(LOOK, Options(), None)


@pytest.mark.slow
def test_the_batch_and_then_the_size_become_smaller(best):
    recipes, needed = best
    assert sizes(recipes) == {"teacher": (96, 64), "step1": (96, 32), "student": (96, 32)}
    assert choose_what_fits(LOOK, Options(), needed) == best
    fewer, less = choose_what_fits(LOOK, Options(), needed - 1)
    assert less < needed
    assert sizes(fewer) == {"teacher": (96, 32), "step1": (96, 16), "student": (96, 16)}
    for _ in range(6):
        smallest = fewer, less
        try:
            fewer, less = choose_what_fits(LOOK, Options(), less - 1)
        except ConfigError as error:
            assert "needs about" in str(error)
            break
    assert sizes(smallest[0])["teacher"] == (32, 16)


def test_what_the_user_has_chosen_stays(best):
    _, needed = best
    options = Options(size="medium", overrides=("data.batch_size=64",))
    recipes, more = choose_what_fits(LOOK, options, 2**50)
    assert more > needed
    with pytest.raises(ConfigError, match="A step of 64 images needs about"):
        choose_what_fits(LOOK, options, more - 1)


@pytest.mark.slow
def test_a_teacher_that_does_not_fit(tmp_path, best):
    config = load_config(config_path("fit/teacher.yaml"), ["student.width=2"])
    teacher = leave_untrained(config, tmp_path / "teacher").path
    options = Options(teacher=str(teacher), size="small", overrides=("data.batch_size=2",))
    recipes, needed = choose_what_fits(LOOK, options, None)
    assert "teacher" not in recipes
    with pytest.raises(ConfigError, match="choose a smaller data.image_size or smaller networks"):
        choose_what_fits(LOOK, options, needed - 1)
    configs = {stage: load(stage, changes) for stage, changes in recipes.items()}
    weights = count_memory(configs)["step1"].by_purpose()["weights"]
    assert weights > teacher.joinpath("encoder.weights.h5").stat().st_size
