"""A student that begins as a `.tflite` has the features of the file, and can be trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import build_backbone
from s2bnn_tf.config import (
    Config,
    DataConfig,
    MonitorConfig,
    ObjectiveConfig,
    OptimizerConfig,
    StudentConfig,
)
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import UserError
from s2bnn_tf.runs import copy_tflite, load_encoder, settle_statistics
from s2bnn_tf.tflite import TFLiteEncoder
from s2bnn_tf.training import build_pretrainer, pretrain

DATA = Path(__file__).parents[1] / "compat" / "data" / "0.1.0"
SIZE, WIDTH = 32, 1 / 32


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    shape = (24, SIZE, SIZE, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def reactnet(size: int = SIZE, **options):
    options = {"stem": "small", "width": WIDTH, **options}
    return build_backbone("reactnet", (size, size, 3), **options)


def agreement(ours, theirs) -> float:
    """The share of the pictures with the same features; a sign at its threshold may flip."""
    errors = np.abs(np.asarray(ours) - theirs).max(axis=1)
    return float(np.mean(errors < 1e-4 * np.abs(theirs).max()))


def changes_in_training(network, views) -> list[float]:
    """How far each normalization's output is another one in training, of its largest number.

    Each has the input that it has outside of training: further on, a sign at its threshold may flip
    and move the statistics of a whole batch.
    """
    norms = [x for x in network.layers if isinstance(x, tf.keras.layers.BatchNormalization)]
    inputs = tf.keras.Model(network.input, [norm.input for norm in norms])(views)
    changes = []
    for norm, values in zip(norms, inputs, strict=True):
        weights = norm.get_weights()
        outside, inside = (np.asarray(norm(values, training=mode)) for mode in (False, True))
        norm.set_weights(weights)  # training has moved its averages
        changes.append(float(np.abs(inside - outside).max() / np.abs(outside).max()))
    return changes


@pytest.mark.parametrize("name", ["student", "classifier"])
@pytest.mark.parametrize("binary", [False, True])
def test_the_features_are_those_of_the_file(name, binary, pictures):
    """For latent weights that are real as well: all of one channel are as large."""
    network = reactnet(binarize_weights=binary)
    copy_tflite(DATA / f"{name}.tflite", network)
    theirs = TFLiteEncoder(DATA / "student.tflite", "lce").features(pictures)
    views = normalize(pictures)
    assert agreement(network(views), theirs) >= 0.9
    assert max(changes_in_training(network, views)) > 1
    settle_statistics(network, views)
    assert agreement(network(views), theirs) >= 0.9
    # In training, the statistics of the batch count: now they are what each layer expects.
    assert max(changes_in_training(network, views)) < 1e-4
    settle_statistics(network, views[:12])  # again, by other pictures
    assert agreement(network(views), theirs) >= 0.9


def recipe(**student) -> Config:
    return Config(
        steps=2,
        data=DataConfig(source="digits", image_size=SIZE, batch_size=64),
        student=StudentConfig(
            backbone="reactnet", stem="small", width=WIDTH, embedding_dim=8, **student
        ),
        objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0, queue_size=400),
        optimizer=OptimizerConfig(learning_rate=1e-6),
        monitor=MonitorConfig(knn_every=0),
        loggers=(),
    )


def test_training_begins_there(tmp_path):
    """Two steps that hardly move a weight leave the signs and the slopes of the file."""
    run = pretrain(recipe(init_from=str(DATA / "student.tflite")), tmp_path / "run")
    trained, begun = load_encoder(run.path).backbone, reactnet()
    copy_tflite(DATA / "student.tflite", begun)
    for ours, theirs in zip(trained.layers, begun.layers, strict=True):
        for mine, yours in zip(ours.trainable_weights, theirs.trainable_weights, strict=True):
            if "kernel" in mine.name and "conv" in ours.name:
                np.testing.assert_array_equal(mine.numpy() < 0, yours.numpy() < 0)
            elif "slope" in mine.name:
                np.testing.assert_allclose(mine, yours, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 1 / 16}, "student.width 0.03125, this recipe has 0.0625; .*student.width=0.03"),
        ({"stem": "medium", "size": 64}, "student.stem small, this recipe has medium"),
        ({"reverse_input": True}, "student.reverse_input False"),
    ],
)
def test_another_network_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        copy_tflite(DATA / "student.tflite", reactnet(**options))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"no model")
    with pytest.raises(UserError, match="not a whole TensorFlow Lite model"):
        build_pretrainer(recipe(init_from=str(tmp_path / "a.tflite")), steps_per_epoch=5)
    with pytest.raises(UserError, match="Cannot read"):
        copy_tflite(tmp_path / "absent.tflite", reactnet())
    with pytest.raises(UserError, match="only a reactnet can begin"):
        copy_tflite(DATA / "student.tflite", build_backbone("resnet18", (32, 32, 3), width=1 / 8))
