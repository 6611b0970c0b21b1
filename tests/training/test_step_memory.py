"""Memory is counted from the recipe, and what does not fit is refused before it starts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tensorflow as tf

from s2bnn_tf.config import TeacherConfig, load_config
from s2bnn_tf.data import open_source
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.recipes import config_path
from s2bnn_tf.runs import build_encoder
from s2bnn_tf.training import (
    build_pretrainer,
    check_step_fits,
    count_step_memory,
    describe_refusal,
    pretrain,
    room_to_train,
)
from s2bnn_tf.training.step_memory import plainly_small

MIB = 2**20


@pytest.fixture(scope="module")
def counted(contrast):
    return count_step_memory(contrast)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_weights_are_those_that_training_has(contrast, change, optimizer):
    config = change(contrast, optimizer={"name": optimizer})
    pretrainer = build_pretrainer(config, steps_per_epoch=5)
    variables = [
        *pretrainer.student.variables,
        *pretrainer.momentum_encoder.variables,
        pretrainer.queue.keys,
        *(variable for variable in pretrainer.optimizer.variables if variable.shape.rank),
    ]
    expected = sum(v.shape.num_elements() * v.dtype.size for v in variables)
    assert count_step_memory(config).by_purpose()["weights"] == expected


def test_views_and_tensors_grow_with_the_batch_and_the_rest_does_not(counted):
    small, large = counted.by_purpose(64), counted.by_purpose(640)
    assert large["views"] == 10 * small["views"] >= 640 * 8 * 8 * 3 * 4 * 2
    assert 9 < large["tensors"] / small["tensors"] < 10.1
    assert (small["program"], small["weights"]) == (large["program"], large["weights"])


def test_parts_need_less_and_take_the_sum_of_the_gradients(counted, contrast):
    whole, parts = counted.by_purpose(256, 1), counted.by_purpose(256, 4)
    assert parts["tensors"] == counted.by_purpose(64, 1)["tensors"]
    assert parts["views"] == whole["views"]
    gradients = 4 * build_encoder(contrast).count_params()
    assert 0 < parts["weights"] - whole["weights"] <= gradients


def test_the_largest_batch_and_the_fewest_parts(counted):
    for batch in (3, 100, 1000, 70000):
        room = counted.total(batch)
        assert counted.largest_batch(room) == batch
        assert counted.largest_batch(room - 1) == (batch - 1 if batch > 2 else None)
    assert counted.largest_batch(counted.total(2) - 1) is None
    assert counted.fewest_parts(counted.total()) == 1
    assert counted.fewest_parts(counted.total(parts=4)) in (2, 4)
    assert counted.fewest_parts(counted.total() // 1000) is None
    in_parts = replace(counted, parts=4)
    assert in_parts.largest_batch(counted.total(512, 4)) == 512


def test_a_teacher_counts_and_so_does_its_absence(contrast, change, counted):
    guided = change(
        contrast,
        teacher=TeacherConfig(weights="nowhere"),
        objective={"contrastive_weight": 0.0, "similarity_weight": 1.0},
    )
    alone = count_step_memory(guided)
    assert alone.by_purpose()["views"] == counted.by_purpose()["views"] // 2, "one view"
    teacher = build_encoder(change(contrast, student={"width": 8.0}))
    both = count_step_memory(guided, teacher=teacher)
    weights = 4 * teacher.count_params()
    assert both.by_purpose()["weights"] == alone.by_purpose()["weights"] + weights
    assert both.others[0].peak(1) > alone.student.peak(1) / 4


def test_images_that_are_held_in_memory_count(contrast, change, counted, tmp_path):
    assert counted.by_purpose()["images"] == 2 * open_source("digits", "train").images.nbytes
    for source in (f"folder:{tmp_path}", f"idx:{tmp_path}"):  # read one by one, or not there
        assert count_step_memory(change(contrast, data={"source": source})).images == 0


def test_half_precision_needs_less(contrast, change, counted):
    half = count_step_memory(change(contrast, precision="bfloat16"))
    tensors = half.by_purpose()["tensors"]
    assert tensors < 0.8 * counted.by_purpose()["tensors"]
    assert half.by_purpose()["weights"] == counted.by_purpose()["weights"]
    assert tf.keras.mixed_precision.global_policy().name == "float32"


def test_scoring_takes_a_batch_of_its_own(contrast, change, counted):
    scored = count_step_memory(change(contrast, monitor={"knn_every": 1}))
    assert scored.total(2) > counted.total(2)
    assert scored.total(4096) == counted.total(4096)


def test_the_network_that_is_counted_stays_as_it_is(contrast):
    student = build_encoder(contrast)
    before = student.get_weights()
    count_step_memory(contrast, student=student)
    assert all((a == b).all() for a, b in zip(before, student.get_weights(), strict=True))
    assert student.trainable and student.trainable_variables


def test_a_refusal_says_what_would_fit(counted):
    fits = counted.total(100)
    said = describe_refusal(counted, fits)
    assert "A step of 256 images needs about" in said
    assert "set data.batch_size to 100 or less" in said
    parts = counted.fewest_parts(fits)
    assert parts is None or f"optimizer.accumulation_steps to {parts}" in said
    assert "smaller data.image_size or smaller networks" in describe_refusal(counted, MIB)


def test_training_that_does_not_fit_is_refused_before_it_starts(contrast, change, tmp_path):
    """A batch of 1,437 images of 16 megapixels."""
    config = change(contrast, data={"image_size": 4096, "batch_size": 1437})
    with pytest.raises(ConfigError, match=r"A step of 1437 images needs about \d+\.\d GiB"):
        pretrain(config, tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()
    assert count_step_memory(contrast).total() < room_to_train()


@pytest.mark.parametrize("recipe", ["fit/regression_step1.yaml", "digits/contrastive_step1.yaml"])
def test_what_is_passed_without_counting_fits_by_far(recipe):
    """The estimate that costs nothing is above the one that is fitted to measurements."""
    config = load_config(config_path(recipe))
    config = replace(config, data=replace(config.data, batch_size=512))
    student = build_encoder(config)
    needed = count_step_memory(config, student=student).total()
    assert not plainly_small(config, student, None, 2 * needed)
    assert plainly_small(config, student, None, 8 * needed)
    assert plainly_small(config, student, None, 10**15)


def test_images_in_memory_that_leave_no_room_are_refused(contrast):
    """Also with a step so small that it need not be counted."""
    room = room_to_train()
    assert room is not None
    check_step_fits(contrast, images=0)
    with pytest.raises(ConfigError, match="memory"):
        check_step_fits(contrast, images=2 * room)
