"""Teachers: each kind is loaded and frozen, or refused in one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import VIT_SIZES, register_backbone, with_output
from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig, TeacherConfig
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import CheckpointError, ConfigError, ModelError
from s2bnn_tf.runs import RunDirectory, build_encoder, load_encoder, save_encoder
from s2bnn_tf.teachers import load_teacher

keras = tf.keras

SIZE = 16


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """RGB 0-255."""
    return np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32)


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def keras_file(path, *layers, size=SIZE) -> str:
    keras.Sequential([keras.Input((size, size, 3)), *layers]).save(path)
    return str(path)


@register_backbone("colors")
def colors(input_shape) -> keras.Model:
    layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(6)]
    return keras.Sequential([keras.Input(input_shape), *layers])


def test_a_run_directory_at_another_image_size(tmp_path, images):
    config = Config(
        data=DataConfig(image_size=32),
        student=StudentConfig(backbone="colors", embedding_dim=8),
        objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0),
    )
    run = RunDirectory(tmp_path)
    run.create(config)
    trained = build_encoder(config, image_size=SIZE)
    save_encoder(trained, run)
    teacher = load_teacher(TeacherConfig(weights=str(tmp_path)), image_size=SIZE)
    np.testing.assert_array_equal(teacher(images), trained(images))
    assert (teacher.embedding_dim, teacher.trainable_variables) == (8, [])

    below = load_teacher(TeacherConfig(weights=str(tmp_path), output="features"), image_size=SIZE)
    np.testing.assert_allclose(below(images), unit(trained.backbone(images)), atol=1e-6)
    assert (below.embedding_dim, below.trainable_variables) == (6, [])


def test_a_teacher_sees_the_views_at_its_own_size(tmp_path, images):
    path = keras_file(tmp_path / "own.keras", keras.layers.Conv2D(5, 3), size=32)
    model = keras.models.load_model(path)
    teacher = load_teacher(TeacherConfig(weights=path, image_size=32), image_size=SIZE)
    larger = tf.image.resize(images, (32, 32))
    features = model(larger).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(teacher(images), unit(features), atol=1e-5)
    assert teacher.trainable_variables == []
    # Where views are larger, they are averaged and not sampled.
    fine = np.tile([[[[0.0] * 3, [2.0] * 3]]], (1, 64, 32, 1)).astype(np.float32)
    smaller = load_teacher(TeacherConfig(weights=path, image_size=32), image_size=64)
    flat = model(np.ones((1, 32, 32, 3))).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(smaller(fine), unit(flat), atol=0.02)


def vit_run(path, size: int = 32) -> RunDirectory:
    student = StudentConfig(backbone="vit_small", width=1 / 6, head="none", embedding_dim=64)
    alone = ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0)
    config = Config(data=DataConfig(image_size=size), student=student, objective=alone)
    run = RunDirectory(path)
    run.create(config)
    save_encoder(build_encoder(config), run)
    return run


def test_a_transformer_has_several_outputs_and_a_size_of_its_own(tmp_path, images, monkeypatch):
    monkeypatch.setitem(VIT_SIZES, "vit_small", replace(VIT_SIZES["vit_small"], blocks=1))
    weights = str(vit_run(tmp_path).path)
    views = normalize(images)
    larger = tf.image.resize(views, (32, 32))
    backbone = load_encoder(tmp_path).backbone
    for output in ("embedding", "features", "class_token", "patches", "class_and_patches"):
        teacher = load_teacher(TeacherConfig(weights=weights, output=output), image_size=SIZE)
        name = "class_token" if output in ("embedding", "features") else output
        expected = unit(with_output(backbone, name)(larger))
        np.testing.assert_allclose(teacher(views), expected, atol=1e-5, err_msg=output)
        assert teacher.embedding_dim == (128 if output == "class_and_patches" else 64)
        assert teacher.trainable_variables == []
    with pytest.raises(ModelError, match="of 20x20: choose a size such as 16 or 32"):
        load_teacher(TeacherConfig(weights=weights, image_size=20), image_size=SIZE)


def test_only_transformers_have_patches(tmp_path):
    path = keras_file(tmp_path / "own.keras", keras.layers.GlobalAveragePooling2D())
    with pytest.raises(ConfigError, match="teacher.output: patches is of vision transformers"):
        load_teacher(TeacherConfig(weights=path, output="patches"), image_size=SIZE)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_keras_file_gives_pooled_unit_features_and_is_frozen(pooled, tmp_path, images):
    layers = [keras.layers.Conv2D(5, 3, strides=2), keras.layers.BatchNormalization()]
    layers += [keras.layers.GlobalAveragePooling2D()] if pooled else []
    path = keras_file(tmp_path / "own.keras", *layers)
    model = keras.models.load_model(path)
    teacher = load_teacher(TeacherConfig(weights=path), image_size=SIZE)
    features = model(images).numpy()
    features = features if pooled else features.mean(axis=(1, 2))
    np.testing.assert_allclose(teacher(images), unit(features), atol=1e-5)
    assert (teacher.embedding_dim, teacher.trainable_variables) == (5, [])
    # Frozen means inference mode, even where training is asked for.
    np.testing.assert_array_equal(teacher(images, training=True), teacher(images))


def test_a_keras_file_with_code_in_it_is_refused(tmp_path):
    path = keras_file(tmp_path / "own.keras", keras.layers.Lambda(lambda x: x + 1))
    with pytest.raises(CheckpointError, match="teacher.weights: cannot load .*own.keras safely"):
        load_teacher(TeacherConfig(weights=path), image_size=SIZE)


@pytest.mark.parametrize("content", [None, b"", b"not a zip file"])
def test_a_file_that_is_no_keras_file(content, tmp_path):
    path = tmp_path / "own.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match="teacher.weights: cannot load .*own.keras"):
        load_teacher(TeacherConfig(weights=str(path)), image_size=SIZE)


def test_a_keras_file_of_another_shape(tmp_path):
    path = keras_file(tmp_path / "own.keras", keras.layers.Reshape((SIZE, SIZE * 3)))
    with pytest.raises(ModelError, match=r"expected a network with output \(B, D\) or"):
        load_teacher(TeacherConfig(weights=path), image_size=SIZE)


def test_a_keras_file_for_images_of_another_size(tmp_path):
    path = keras_file(tmp_path / "own.keras", keras.layers.Flatten(), size=8)
    with pytest.raises(ModelError, match="teacher.weights: .*own.keras .*16x16"):
        load_teacher(TeacherConfig(weights=path), image_size=SIZE)


def test_nothing_to_load(tmp_path):
    for weights in (str(tmp_path), str(tmp_path / "absent")):
        with pytest.raises(
            CheckpointError, match="neither a run directory nor a .keras, .onnx or .tflite file"
        ):
            load_teacher(TeacherConfig(weights=weights), image_size=SIZE)


@pytest.mark.slow
def test_a_network_of_keras_applications_sees_its_own_preprocessing(tmp_path, images):
    network = keras.applications.MobileNet(include_top=False, pooling="avg", weights=None)
    path = tmp_path / "own.weights.h5"
    network.save_weights(path)
    config = TeacherConfig(backbone="MobileNet", weights=str(path))
    teacher = load_teacher(config, image_size=32)
    images = tf.image.resize(images, (32, 32))
    expected = network(keras.applications.mobilenet.preprocess_input(tf.identity(images)))
    # Compared as directions: an untrained MobileNet shrinks its features to almost nothing.
    features = teacher.backbone(normalize(images))
    np.testing.assert_allclose(unit(features), unit(expected), atol=1e-4)
    assert (teacher.embedding_dim, teacher.trainable_variables) == (1024, [])


@pytest.mark.slow
def test_a_network_of_keras_applications_may_be_untrained():
    teacher = load_teacher(TeacherConfig(backbone="MobileNet"), image_size=32)
    assert teacher.embedding_dim == 1024


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # where Keras keeps what it has downloaded
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody answers there
    with pytest.raises(
        CheckpointError, match="cannot load imagenet for MobileNet: URL fetch failure"
    ):
        load_teacher(TeacherConfig(backbone="MobileNet", weights="imagenet"), image_size=32)


@pytest.mark.parametrize("name", ["ResNet5000", "resnet50", "keras", "__name__"])
def test_a_network_that_keras_does_not_have(name):
    with pytest.raises(ConfigError, match=f"keras.applications has no '{name}'; it has .*ResNet50"):
        load_teacher(TeacherConfig(backbone=name, weights="imagenet"), image_size=32)


def test_weights_that_do_not_fit_a_network_of_keras(tmp_path):
    path = tmp_path / "own.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    for weights in (path, tmp_path / "absent.h5"):
        config = TeacherConfig(backbone="MobileNet", weights=str(weights))
        with pytest.raises(CheckpointError, match="teacher.weights: cannot load .* for MobileNet"):
            load_teacher(config, image_size=32)


@pytest.mark.parametrize("name", ["moco_v2.pth.tar", "resnet50.pth", "model.safetensors"])
def test_a_pytorch_file_is_to_be_imported_first(name):
    with pytest.raises(CheckpointError, match=f"s2bnn import-torch {name} runs/teacher"):
        load_teacher(TeacherConfig(weights=name), image_size=SIZE)


@pytest.mark.parametrize("output", ["embedding", "features"])
@pytest.mark.parametrize("kind", ["run", "keras"])
def test_a_teacher_of_colors_sees_a_gray_picture_in_three_channels(kind, output, tmp_path):
    size = (SIZE, 24)
    if kind == "run":
        config = Config(
            data=DataConfig(image_size=32),
            student=StudentConfig(backbone="colors", embedding_dim=8),
            objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0),
        )
        RunDirectory(tmp_path / "run").create(config)
        save_encoder(build_encoder(config), RunDirectory(tmp_path / "run"))
        weights = str(tmp_path / "run")
    else:
        weights = str(tmp_path / "network.keras")
        layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
        keras.Sequential([keras.Input((*size, 3)), *layers]).save(weights)
    gray = np.random.default_rng(0).integers(0, 256, (3, *size, 1)).astype(np.float32)
    one, three = (
        load_teacher(TeacherConfig(weights=weights, output=output), image_size=size, channels=c)
        for c in (1, 3)
    )
    assert one.trainable_variables == [] and one.embedding_dim == three.embedding_dim
    expected = three(normalize(np.repeat(gray, 3, axis=3)))
    np.testing.assert_allclose(one(normalize(gray)), expected, atol=1e-5)


def test_a_teacher_of_another_shape_is_refused(tmp_path):
    layers = [keras.layers.Flatten(), keras.layers.Dense(4)]
    file = keras_file(tmp_path / "network.keras", *layers)
    with pytest.raises(ModelError, match="does not take images of 16x24 pixels in 1 channel;"):
        load_teacher(TeacherConfig(weights=file), image_size=(SIZE, 24), channels=1)


def test_keys_that_are_for_files_are_refused_for_other_teachers(tmp_path):
    with pytest.raises(ConfigError, match=r"teacher.output: expected one of .*, not 'logits'"):
        load_teacher(TeacherConfig(weights=str(tmp_path), output="logits"), image_size=SIZE)
    with pytest.raises(ConfigError, match="are of .onnx and .keras files alone"):
        load_teacher(TeacherConfig(weights=str(tmp_path), mean=(0.5,)), image_size=SIZE)
