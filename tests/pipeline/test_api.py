"""`s2bnn_tf.fit` with networks, functions and callbacks of the calling program."""

from __future__ import annotations

import json
import platform

import numpy as np
import pytest
import tensorflow as tf

import s2bnn_tf
from s2bnn_tf.errors import ConfigError, ModelError, UserError
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.teachers import WordVectors, read_words, write_words

keras = tf.keras

BRIEF = ("steps=10", "data.batch_size=8", "data.image_size=32")
COMMON = {"size": "small", "target": f"linux-{platform.machine()}", "overrides": BRIEF}


def bits(filters: int = 6) -> keras.Model:
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(image)
    x = keras.layers.BatchNormalization()(x)
    x = BinaryConv2D(filters, 3)(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def colors(images):
    return np.concatenate([images.mean((1, 2)), images.std((1, 2))], axis=1)


def angle(query, target):
    return tf.reduce_mean(1 - tf.reduce_sum(query * target, -1))


class Counts(keras.callbacks.Callback):
    """Counts steps, and ends each stage after a few."""

    def __init__(self, most: int):
        super().__init__()
        self.most, self.steps, self.losses = most, 0, []

    def on_train_batch_end(self, batch, logs):
        self.steps += 1
        self.losses.append(logs["custom"])
        self.model.stop_training = self.steps >= self.most


@pytest.mark.slow
def test_everything_can_be_ones_own(crops, tmp_path):
    output = tmp_path / "out"
    counts, said = Counts(7), []
    given = {"student": bits(), "teacher": colors, "objective": angle, **COMMON}
    encoder = s2bnn_tf.fit(
        crops, output, **given, callbacks=[counts], loggers=(), progress=lambda *x: said.append(x)
    )
    assert encoder.image_size == 32 and encoder.feature_dim == 6
    assert counts.steps == 7 and np.isfinite(counts.losses).all()
    assert any("a Keras network of your own, 1-bit layers; in one step" in what[0] for what in said)
    student = RunDirectory(output)
    assert student.config.objective.custom.startswith("angle_")
    assert student.config.teacher.weights.startswith("python:colors_")
    assert not student.tensorboard.exists()
    assert not (output / "step1").exists() and not (output / "teacher").exists()
    card = json.loads((output / "student.json").read_text())
    assert card["operations"]["binary_macs"] > 0
    assert 0 <= encoder.results["knn"]["teacher"] <= 1

    # Another process builds the same network with other names, and gives the functions again.
    given["student"] = bits()
    before = student.weights_path.stat().st_mtime_ns
    again = s2bnn_tf.fit(crops, output, **given, callbacks=[counts], loggers=())
    assert student.weights_path.stat().st_mtime_ns == before and counts.steps == 7
    assert again.results["knn"] == encoder.results["knn"]
    for name, other in (("student", bits(5)), ("teacher", lambda images: images[:, 0, 0])):
        with pytest.raises(ConfigError, match=rf"holds a fit with other options .*{name}"):
            s2bnn_tf.fit(crops, output, **{**given, name: other}, loggers=())

    # The directory has all that it needs, wherever it is.
    moved = output.rename(tmp_path / "moved")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(s2bnn_tf.load(moved).features(images), again.features(images))


@pytest.mark.slow
def test_a_real_network_and_a_keras_teacher(crops, tmp_path):
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(image)
    real = keras.Model(image, x)  # maps, which are averaged
    teacher = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(7)]
    )
    said = []
    encoder = s2bnn_tf.fit(
        crops,
        tmp_path / "out",
        student=real,
        teacher=teacher,
        objective="distillation",
        progress=lambda *what: said.append(what[0]),
        **COMMON,
    )
    assert any("real-valued, since it has no 1-bit layers; in one step" in what for what in said)
    config = RunDirectory(encoder.path).config
    assert config.student.embedding_dim == 7 and config.objective.regression_weight == 0
    assert config.objective.distillation_weight == 1


@pytest.mark.slow
def test_a_named_network_with_one_step_and_words(crops, tmp_path):
    words = tmp_path / "words.npz"
    write_words(
        words, WordVectors(["bright", "varied"], np.float32([[1] * 3 + [0] * 3, [0, 1] * 3]))
    )
    encoder = s2bnn_tf.fit(
        crops, tmp_path / "out", student="resnet18", teacher=colors, words=words, **COMMON
    )
    assert encoder.results["words"]["words"] == 2 and encoder.results["words"]["pictures"] > 0
    assert read_words(tmp_path / "out" / "words.npz")[0].names == ["bright", "varied"]
    config = RunDirectory(encoder.path).config
    assert (config.student.backbone, config.student.stem) == ("resnet18", "small")
    assert config.student.binarize_weights is None and config.student.init_from is None


@pytest.mark.slow
def test_a_teacher_that_fails_while_it_teaches_is_a_sentence(crops, tmp_path):
    calls = []

    def tires(images):
        calls.append(len(images))
        if len(calls) > 3:
            raise RuntimeError("out of patience")
        return images[:, 0, 0]

    with pytest.raises(ModelError, match=r"fails \(RuntimeError: out of patience\)"):
        s2bnn_tf.fit(crops, tmp_path / "out", teacher=tires, **COMMON)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minutes": 0}, "minutes: expected a number above 0, not 0"),
        ({"minutes": "ten"}, "minutes: expected a number above 0, not 'ten'"),
        ({"size": "huge"}, "size: expected one of small, medium, large"),
        ({"hold_out": 1}, "hold_out: expected a share from 0 to below 1, not 1"),
        ({"target": "windows"}, "target: expected one of linux-aarch64, linux-x86_64"),
        ({"callbacks": [print]}, "callbacks: expected callbacks of Keras, not builtin"),
        ({"loggers": ["pigeon"]}, "loggers: expected one of tensorboard, mlflow, wandb"),
        ({"student": "resnet19"}, "no backbone named 'resnet19'"),
        ({"student": 5}, "student: expected a name or a Keras model"),
        ({"teacher": "nowhere"}, "nowhere"),
        ({"words": 5}, "words: expected the path of a file, not int"),
        ({"words": "words.txt"}, "--words needs a --teacher"),
        ({"objective": "contrastive"}, "contrastive takes no teacher"),
        ({"objective": "angel"}, "no objective named 'angel'"),
        ({"overrides": ["data.sise=3"]}, "data.sise: unknown key"),
    ],
)
def test_what_is_refused_before_work_begins(options, message, crops, tmp_path):
    with pytest.raises(UserError, match=message):
        s2bnn_tf.fit(crops, tmp_path / "out", progress=lambda *what: None, **options)
    assert not (tmp_path / "out" / "plan.json").exists()


def test_data_of_other_kinds_are_refused(tmp_path):
    for data in (5, None, tmp_path / "nowhere"):
        with pytest.raises(UserError):
            s2bnn_tf.fit(data, tmp_path / "out")
    few = np.zeros((3, 8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="at least 32"):
        s2bnn_tf.fit(few, tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        s2bnn_tf.fit(np.zeros((3, 8, 8, 3), np.uint8), tmp_path / "file")
