"""The uses of an imported run: as a teacher, as a start, for evaluation, in training."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.config import (
    Config,
    DataConfig,
    ObjectiveConfig,
    OptimizerConfig,
    StudentConfig,
    TeacherConfig,
    load_config,
)
from s2bnn_tf.errors import ConfigError, UserError
from s2bnn_tf.evaluation import evaluate_knn
from s2bnn_tf.recipes import config_path
from s2bnn_tf.runs import LinearProbe, RunDirectory, open_encoder, restore_run
from s2bnn_tf.teachers import load_teacher
from s2bnn_tf.torch_import import import_torch
from s2bnn_tf.training import build_pretrainer, pretrain

torch = pytest.importorskip("torch")
publishers = pytest.importorskip("oracle.publishers")

SIZE, WIDTH = 128, 0.125


@pytest.fixture(scope="module")
def moco():
    return publishers.s2bnn()


@pytest.fixture(scope="module")
def student_run(moco, tmp_path_factory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("student")
    torch.save(moco.content, folder / "checkpoint_0199.pth.tar")
    import_torch(
        folder / "checkpoint_0199.pth.tar", folder / "run", step=1, data="digits", image_size=SIZE
    )
    return RunDirectory(folder / "run")


@pytest.fixture(scope="module")
def teacher_run(tmp_path_factory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("teacher")
    torch.save(publishers.swav().content, folder / "swav.pth.tar")
    import_torch(folder / "swav.pth.tar", folder / "run", data="digits", image_size=64)
    return RunDirectory(folder / "run")


@pytest.fixture(scope="module")
def step2(student_run, teacher_run) -> Config:
    return Config(
        data=DataConfig(source="digits", image_size=SIZE, batch_size=4),
        student=dataclasses.replace(
            student_run.config.student, binarize_weights=True, init_from=str(student_run.path)
        ),
        teacher=TeacherConfig(weights=str(teacher_run.path)),
        objective=ObjectiveConfig(contrastive_weight=1, distillation_weight=1, queue_size=24),
    )


def test_training_continues_with_key_encoder_and_queue(step2, moco):
    tensors = moco.content["state_dict"]
    pretrainer = build_pretrainer(step2, steps_per_epoch=5)
    keys = tensors["module.queue"].T.numpy()
    np.testing.assert_allclose(pretrainer.queue.keys, keys)
    assert int(pretrainer.queue.position) == 3
    for ours, theirs in ((pretrainer.student, "q"), (pretrainer.momentum_encoder, "k")):
        kernel = tensors[f"module.encoder_{theirs}.fc.0.weight"].T.numpy()
        np.testing.assert_array_equal(ours.head.get_weights()[0], kernel)
    assert all(layer.binarize_weights for layer in binary_layers(pretrainer.student))
    views = tf.random.stateless_normal((2, 4, SIZE, SIZE, 3), seed=(0, 0))
    logs = pretrainer.train_step(tuple(views))
    assert np.isfinite([float(value) for value in logs.values()]).all()
    # The batch replaced the oldest keys, starting at the position in the file.
    moved = np.flatnonzero(np.any(pretrainer.queue.keys.numpy() != keys, axis=1))
    np.testing.assert_array_equal(moved, [3, 4, 5, 6])


def binary_layers(encoder):
    return [layer for layer in encoder.backbone.layers if hasattr(layer, "binarize_weights")]


def test_a_recipe_must_reverse_its_input_like_the_import(step2):
    config = dataclasses.replace(
        step2, student=dataclasses.replace(step2.student, reverse_input=None)
    )
    with pytest.raises(ConfigError, match="--set student.reverse_input=true"):
        restore_run(config, student=None, momentum_encoder=None, queue=None)


def test_another_head_is_refused(step2):
    config = dataclasses.replace(
        step2, student=dataclasses.replace(step2.student, head="linear bn relu linear")
    )
    with pytest.raises(ConfigError, match='--set student.head="linear relu linear"'):
        restore_run(config, student=None, momentum_encoder=None, queue=None)


def test_an_imported_run_is_not_trained_in_its_own_directory(student_run):
    config = load_config(student_run.config_path)
    with pytest.raises(UserError, match="was imported.*--set student.init_from="):
        pretrain(config, student_run.path)


def test_a_teacher_at_the_students_image_size(teacher_run):
    teacher = load_teacher(TeacherConfig(weights=str(teacher_run.path)), image_size=96)
    assert teacher(tf.zeros((1, 96, 96, 3))).shape == (1, 16)
    assert teacher.trainable_variables == []


@pytest.mark.slow
def test_its_nearest_neighbors_are_measured(teacher_run):
    assert 0.1 < evaluate_knn(teacher_run.path)["top1"] <= 1.0


def test_evaluation_opens_it(teacher_run):
    embeddings = open_encoder(teacher_run.path).embed(np.full((1, 64, 64, 3), 127.0))
    np.testing.assert_allclose(np.linalg.norm(embeddings), 1, rtol=1e-5)


def test_the_real_valued_track_builds_and_steps(teacher_run):
    """A narrow ResNet-50 and a narrow teacher of SwAV, which has BatchNorm in its head."""
    changes = {
        "data.source": "digits",
        "data.image_size": 32,
        "student.width": WIDTH,
        "student.embedding_dim": 16,
        "teacher.weights": teacher_run.path,
    }
    recipe = load_config(
        config_path("imagenet/real_valued_student.yaml"),
        [f"{key}={value}" for key, value in changes.items()],
    )
    assert (recipe.student.backbone, recipe.student.binarize_weights) == ("resnet50", None)
    assert (recipe.objective.contrastive_weight, recipe.objective.distillation_weight) == (0, 1)
    pretrainer = build_pretrainer(recipe, steps_per_epoch=5)
    views = (tf.random.stateless_normal((8, 32, 32, 3), seed=(0, 0)),)
    step = tf.function(pretrainer.train_step)
    losses = []
    for _ in range(4):
        pretrainer.reset_metrics()
        losses.append(float(step(views)["distillation"]))
    assert losses[-1] < losses[0]  # the same batch every time


def test_a_linear_probe_keeps_its_classifier(tmp_path):
    published = publishers.s2bnn_probe()
    torch.save(published.content, tmp_path / "linear.pth.tar")
    record = import_torch(tmp_path / "linear.pth.tar", tmp_path / "run", image_size=SIZE)
    assert (record["classes"], record["binarize_weights"]) == (10, True)
    probe = LinearProbe.load(tmp_path / "run" / "eval" / "linear_probe.npz")
    weight = published.content["state_dict"]["module.fc.weight"].numpy()
    features = np.random.default_rng(0).normal(size=(3, 128)).astype(np.float32)
    bias = published.content["state_dict"]["module.fc.bias"].numpy()
    np.testing.assert_allclose(probe.logits(features), features @ weight.T + bias, rtol=1e-5)
    assert json.loads((tmp_path / "run" / "imported.json").read_text()) == record


def test_adam_is_not_imported(student_run):
    """The parts beside the weights are listed and not imported."""
    record = json.loads(student_run.imported_path.read_text())
    assert record["beside_the_weights"] == ["epoch", "arch", "best_acc1", "optimizer"]
    assert OptimizerConfig() == student_run.config.optimizer
    assert StudentConfig().reverse_input is None
