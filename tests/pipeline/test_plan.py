"""How a plan divides the time."""

from __future__ import annotations

import pytest

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.pipeline import plan
from s2bnn_tf.pipeline.choices import choose, sizes_and_batches
from s2bnn_tf.pipeline.look import Look
from s2bnn_tf.pipeline.measure import MOST_MEASURED
from s2bnn_tf.pipeline.options import Options
from s2bnn_tf.pipeline.plan import make_plan
from s2bnn_tf.pipeline.recipes import load
from s2bnn_tf.runs import build_encoder
from s2bnn_tf.training import Cost


@pytest.fixture(autouse=True)
def known_costs(monkeypatch):
    """Steps of a known speed, 1 ms for each picture: what is tested is the division."""

    def costs(recipes, options, progress, stores):
        sizes = {s: load(s, recipes[s]).data.batch_size for s in recipes}
        return {stage: Cost(0.001 * size, 10.0) for stage, size in sizes.items()}

    def fits(look, options, room):  # counting the memory builds every network
        return choose(look, options, *next(sizes_and_batches(look, options))), 2**30

    monkeypatch.setattr(plan, "time_stages", costs)
    monkeypatch.setattr(plan, "choose_what_fits", fits)


def of(train: int, test: int, minutes: float) -> plan.Plan:
    look = Look("digits", train, test, ("a", "b"), 28, color=False)
    return make_plan(look, Options(minutes=minutes), 60.0)


@pytest.mark.parametrize("minutes", [8, 20, 60])
def test_the_stages_and_the_rest_take_the_minutes(minutes):
    made = of(60_000, 10_000, minutes)
    assert sum(made.minutes.values()) == pytest.approx(minutes - 1, abs=0.2)  # one is spent
    assert set(made.minutes) == {"teacher", "step1", "student", "rest"}


def test_a_stage_that_sees_the_pictures_once_or_less_says_how_much_of_them():
    assert "975 steps of 64 pictures (1.0 passes)" in of(60_000, 10_000, 8).lines()[7]
    assert ".0 passes" not in of(1_000, 200, 20).lines()[7]


def test_measuring_takes_memory_of_its_own():
    """Five times the pixels in 32x32 of all that are measured with; training has a GiB here."""
    assert of(3_000, 1_000, 20).memory_mib == 1024 + 5 * 4 * 4_000 // 1024
    assert of(60_000, 10_000, 20).memory_mib == 1024 + 5 * 4 * 20_000 // 1024
    look = Look("digits", 3_000, 1_000, ("a", "b"), 28, color=True)
    assert make_plan(look, Options(minutes=20), 60.0).memory_mib == 1024 + 15 * 4 * 4_000 // 1024


def test_measuring_many_pictures_leaves_time_to_train():
    """Of many, some are measured with; only the features of all are made."""
    few, many = (of(count, count, 20) for count in (MOST_MEASURED, 20 * MOST_MEASURED))
    growth = 60 * (many.minutes["rest"] - few.minutes["rest"])
    assert growth == pytest.approx(38 * MOST_MEASURED * 0.0002)
    assert few.minutes["rest"] < 4
    assert many.lines()[0].endswith("200,000 to measure with (10,000 of each)")


def test_the_smallest_time_is_named():
    with pytest.raises(ConfigError, match=r"2 minutes .* give at least --minutes (\d+)") as error:
        of(60_000, 10_000, 2)
    needed = int(str(error.value).rstrip(".").rsplit(" ", 1)[1])
    assert (
        min(
            of(60_000, 10_000, needed).config(stage).steps
            for stage in ("teacher", "step1", "student")
        )
        >= 100
    )
    with pytest.raises(ConfigError):
        of(60_000, 10_000, needed - 1)


def test_of_many_pictures_the_teacher_is_wider_and_has_more_of_the_time():
    few, many = of(9_999, 1_000, 60), of(10_000, 1_000, 60)
    assert few.config("teacher").student.width == 0.25
    assert many.config("teacher").student.width == 0.5
    assert few.config("student").student.width == many.config("student").student.width == 0.25
    network = build_encoder(many.config("teacher"))
    assert many.config("student").student.embedding_dim == network.backbone.output_shape[-1] == 256
    assert few.minutes["teacher"] < few.minutes["student"] < few.minutes["step1"]
    assert many.minutes["teacher"] > many.minutes["step1"] > many.minutes["student"]
