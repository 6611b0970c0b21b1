"""`convert --head teacher`: vectors in the teacher's space, which the file and its card name."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import register_backbone
from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig, TeacherConfig
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation import embed_images
from s2bnn_tf.export import convert_run
from s2bnn_tf.files import sha256
from s2bnn_tf.layers import BinaryConv2D, RSign
from s2bnn_tf.runs import RunDirectory, leave_untrained, load_encoder
from s2bnn_tf.teachers import read_space, teacher_space, write_space
from s2bnn_tf.tflite import TFLiteEncoder

keras = tf.keras

DIM = 24


@register_backbone("one_binary_layer")
def one_binary_layer(input_shape) -> keras.Model:
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(32, 3, strides=2, padding="same")(image)
    x = BinaryConv2D(32, 3, input_quantizer=RSign())(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A teacher, and a student that was to predict its features."""
    folder = tmp_path_factory.mktemp("runs")
    network = {"backbone": "one_binary_layer"}
    data = DataConfig(image_size=32)
    alone = ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0)
    leave_untrained(Config(data=data, student=StudentConfig(**network), objective=alone), folder)
    teacher = folder.rename(folder.with_name("teacher"))
    regression = ObjectiveConfig(distillation_weight=0.0, regression_weight=1.0)
    config = Config(
        data=data,
        student=StudentConfig(**network, embedding_dim=DIM),
        teacher=TeacherConfig(weights=str(teacher), output="features"),
        objective=regression,
    )
    return RunDirectory(teacher), leave_untrained(config, tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def files(runs, tmp_path_factory):
    """The student converted with both heads, and the cards."""
    folder = tmp_path_factory.mktemp("files")
    heads = {"teacher": "a", "teacher+map": "b"}
    return {
        head: (
            folder / f"{name}.tflite",
            convert_run(runs[1].path, folder / f"{name}.tflite", head=head),
        )
        for head, name in heads.items()
    }


@pytest.mark.parametrize("head", ["teacher", "teacher+map"])
def test_the_file_ends_in_the_teachers_space(runs, files, digits, head):
    teacher, student = runs
    path, card = files[head]
    assert card["space"] == teacher_space(student.config.teacher) == sha256(teacher.weights_path)
    assert card["output"] == {"name": "teacher_embedding", "shape": [1, DIM], "dtype": "float32"}
    assert ("map" in card) == (head == "teacher+map")
    assert card["head_rounding"]["cosine_min"] > 0.99
    opened = TFLiteEncoder(path, "lce")
    assert (opened.head, opened.feature_dim) == (head, DIM)
    found = opened.features(digits)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    wanted = load_encoder(student.path)(normalize(digits)).numpy()
    assert (found * wanted).sum(axis=1).min() > 0.9
    assert opened.maps(digits).ndim == 4 if head == "teacher+map" else opened.map_shape is None


def test_the_device_knows_the_space_with_and_without_the_card(runs, files, tmp_path, small_model):
    embedder = pytest.importorskip("s2bnn_runtime.embedder")
    space, path = sha256(runs[0].weights_path), files["teacher"][0]
    assert embedder.Embedder(path).space == space
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(path.read_bytes())
    assert embedder.Embedder(alone).space == space
    alone.write_bytes(small_model)
    assert embedder.Embedder(alone).space == sha256(alone)


def test_embed_writes_embeddings(files, tmp_path):
    picture = pytest.importorskip("PIL.Image").new("RGB", (40, 40), "red")
    picture.save(tmp_path / "a.png")
    embed_images(files["teacher"][0], [tmp_path / "a.png"], tmp_path / "a.npz", runtime="lce")
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["embeddings"].shape == (1, DIM)


def test_a_run_without_a_teachers_features_is_refused(runs, tmp_path):
    with pytest.raises(UserError, match=r"not trained towards a teacher's features.*projection"):
        convert_run(runs[0].path, tmp_path / "a.tflite", head="teacher")
    assert not list(tmp_path.iterdir())


def test_the_space_is_that_of_the_teacher_during_training(runs, tmp_path):
    teacher, student = runs
    config = student.config
    before = read_space(student)
    assert before == teacher_space(config.teacher)
    named = TeacherConfig(weights=str(teacher.path), output="embedding")
    assert teacher_space(named) == f"{before} embedding"
    copy = leave_untrained(config, tmp_path / "copy")
    write_space(copy, config.teacher)
    moved = json.dumps({"space": "that of another day"})
    copy.teacher_path.write_text(moved)
    assert read_space(copy) == "that of another day"
    assert teacher_space(TeacherConfig(weights="python:mine")) is None
