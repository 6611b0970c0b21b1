"""Step 2 starts from everything that step 1 left, or explains why it cannot."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.errors import UserError
from s2bnn_tf.runs import RunDirectory, load_encoder
from s2bnn_tf.training import build_pretrainer, pretrain


@pytest.fixture(scope="module")
def step2(contrast, change, step1):
    return change(contrast, student={"binarize_weights": True, "init_from": str(step1.path)})


def assert_stored(variables, stored: dict[str, np.ndarray], prefix: str) -> None:
    """These variables are those of a checkpoint, one for one."""
    left = {n: v for n, v in stored.items() if n.startswith(prefix) and "OPTIMIZER_SLOT" not in n}
    for variable in variables:
        name = next(n for n, v in left.items() if np.array_equal(v, variable.numpy()))
        left.pop(name)
    assert not left


def test_student_momentum_encoder_and_queue_come_from_step_1(step2, state, step1):
    pretrainer = build_pretrainer(step2, steps_per_epoch=5)
    stored = state(step1)
    assert_stored(pretrainer.student.variables, stored, "student/")
    assert_stored(pretrainer.momentum_encoder.variables, stored, "momentum_encoder/")
    np.testing.assert_array_equal(
        pretrainer.queue.keys, stored["queue/keys/.ATTRIBUTES/VARIABLE_VALUE"]
    )
    assert int(pretrainer.queue.position) == (2 * 5 * 256) % 400
    # They are three different things, and the optimizer starts from the beginning.
    ours, theirs = (n.get_weights() for n in (pretrainer.student, pretrainer.momentum_encoder))
    assert not all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert int(pretrainer.optimizer.iterations) == 0


def test_a_distilling_step_2_takes_the_student_alone(step2, change, step1):
    distilling = change(
        step2,
        teacher=TeacherConfig(weights=str(step1.path)),
        objective={"contrastive_weight": 0.0, "distillation_weight": 1.0},
    )
    pretrainer = build_pretrainer(distilling, steps_per_epoch=5)
    assert pretrainer.momentum_encoder is None
    loaded = load_encoder(step1.path).get_weights()
    for network in (pretrainer.student, pretrainer.teacher):
        for ours, theirs in zip(network.get_weights(), loaded, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_where_step_1_had_no_momentum_encoder_it_starts_as_the_student(
    step2, change, step1, tmp_path
):
    """A step 1 that only distilled leaves no keys either."""
    shutil.copytree(step1.path, tmp_path / "distilled")
    shutil.rmtree(tmp_path / "distilled" / "checkpoints")
    config = change(step2, student={"init_from": str(tmp_path / "distilled")})
    pretrainer = build_pretrainer(config, steps_per_epoch=5)
    ours, theirs = (n.get_weights() for n in (pretrainer.student, pretrainer.momentum_encoder))
    for mine, yours, loaded in zip(
        ours, theirs, load_encoder(step1.path).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, yours)
        np.testing.assert_array_equal(mine, loaded)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"student": {"backbone": "same_by_another_name"}},
            "trained with student.backbone tiny, this recipe has same_by_another_name; make them",
        ),
        ({"student": {"width": 2.0}}, "trained with student.width 1.0, this recipe has 2.0"),
        ({"student": {"embedding_dim": 16}}, "student.embedding_dim 8, this recipe has 16"),
        (
            {"objective": {"queue_size": 300}},
            "has a queue of 400 keys; add --set objective.queue_size=400",
        ),
    ],
)
def test_another_network_or_queue_is_refused(changes, words, step2, change):
    with pytest.raises(UserError, match=words):
        build_pretrainer(change(step2, **changes), steps_per_epoch=5)


def test_a_step_1_that_is_not_there(step2, change, tmp_path):
    config = change(step2, student={"init_from": str(tmp_path / "absent")})
    with pytest.raises(UserError, match="absent is not a run directory .*--output-dir"):
        build_pretrainer(config, steps_per_epoch=5)


def test_a_step_1_that_was_never_finished(step2, change, contrast, tmp_path):
    RunDirectory(tmp_path).create(contrast)
    config = change(step2, student={"init_from": str(tmp_path)})
    with pytest.raises(UserError, match="has no encoder.weights.h5 yet; finish the run"):
        build_pretrainer(config, steps_per_epoch=5)


def test_the_head_fits_a_teacher_with_another_embedding(contrast, change, step1, caplog):
    config = change(
        contrast,
        student={"embedding_dim": 16},
        teacher=TeacherConfig(weights=str(step1.path)),
        objective={"distillation_weight": 1.0},
    )
    pretrainer = build_pretrainer(config, steps_per_epoch=5)
    assert "is 16 and the teacher's output has 8 dimensions, so the" in caplog.text
    for encoder in (pretrainer.student, pretrainer.momentum_encoder, pretrainer.teacher):
        assert encoder.embedding_dim == 8
    assert pretrainer.queue.keys.shape[1] == 8
    without = change(config, student={"head": "none", "embedding_dim": 16})
    with pytest.raises(UserError, match="Without a head the embedding is|without a head has"):
        build_pretrainer(without, steps_per_epoch=5)


def test_a_queue_of_the_teachers_embeddings_is_another_queue(step2, change, step1, state, tmp_path):
    """Step 2 takes it from a guided step 1; a contrastive step 1 has keys of another network."""
    guided = change(
        step2,
        epochs=1,
        teacher=TeacherConfig(weights=str(step1.path)),
        objective={"contrastive_weight": 0.0, "similarity_weight": 1.0},
    )
    fresh = build_pretrainer(guided, steps_per_epoch=5)
    assert fresh.momentum_encoder is None
    assert int(fresh.queue.position) == 0
    run = pretrain(guided, tmp_path / "step1")
    left = state(run)["queue/keys/.ATTRIBUTES/VARIABLE_VALUE"]
    following = change(guided, student={"init_from": str(run.path)})
    np.testing.assert_array_equal(build_pretrainer(following, steps_per_epoch=5).queue.keys, left)
    assert not np.array_equal(left, fresh.queue.keys)
