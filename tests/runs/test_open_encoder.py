"""A run directory and a `.tflite` open as encoders that look the same to their users."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder, projection_head, register_backbone
from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.export import convert
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.runs import (
    LoadedEncoder,
    RunDirectory,
    leave_untrained,
    load_encoder,
    open_encoder,
)

pytestmark = pytest.mark.both_sets

keras = tf.keras

SIZE = 8


@register_backbone("mean_of_twelve")
def mean_of_twelve(input_shape) -> keras.Model:
    layers = [keras.layers.Conv2D(12, 3), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input(input_shape), *layers])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDirectory:
    config = Config(
        data=DataConfig(image_size=SIZE, center_crop=0.5),
        student=StudentConfig(backbone="mean_of_twelve", embedding_dim=5),
        objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0),
    )
    return leave_untrained(config, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def file(run, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.tflite"
    path.write_bytes(convert(load_encoder(run.path), image_size=SIZE))
    return path


def public(encoder) -> set[str]:
    return {name for name in dir(encoder) if not name.startswith("_")}


def test_both_have_the_same_attributes(run, file):
    opened, deployed = open_encoder(run.path), open_encoder(file)
    common = {
        *("name", "path", "image_size", "channels", "center_crop", "feature_dim", "data_source"),
        *("size_bytes", "head", "labels", "runtime", "preparation", "features", "embed", "project"),
    }
    assert public(opened) == common | {"encoder", "open"}
    assert public(deployed) == common | {"card", "maps", "map_shape", "space"}
    assert (opened.name, opened.path) == (run.path.name, run.path)
    assert (deployed.name, deployed.path) == ("model.tflite", file)
    assert (opened.image_size, opened.center_crop, opened.data_source) == (SIZE, 0.5, "digits")
    assert (opened.head, opened.labels, opened.runtime) == (None, None, None)
    assert opened.feature_dim == deployed.feature_dim == 12
    assert opened.size_bytes == 4 * (3 * 3 * 3 * 12 + 12)


def test_both_give_the_same_features(run, file):
    opened, deployed = open_encoder(run.path), open_encoder(file)
    images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    features = opened.features(images)
    assert features.dtype == deployed.features(images).dtype == np.float32
    np.testing.assert_allclose(deployed.features(images), features, rtol=1e-4, atol=1e-5)
    embeddings = opened.embed(images)
    assert embeddings.shape == (3, 5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(embeddings, opened.project(features))


def test_a_path_that_does_not_exist(tmp_path):
    with pytest.raises(CheckpointError, match="absent does not exist; name a run directory or a"):
        open_encoder(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="is not a run directory .*no config.yaml"):
        open_encoder(tmp_path)


def test_a_run_without_weights_or_with_those_of_another_network(run, tmp_path):
    unfinished = RunDirectory(tmp_path / "run")
    unfinished.create(run.config)
    with pytest.raises(CheckpointError, match="has no encoder.weights.h5 yet; finish the run"):
        LoadedEncoder.open(unfinished.path)
    unfinished.weights_path.write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="does not hold the weights of the mean_of_twelve"):
        LoadedEncoder.open(unfinished.path)


def test_the_recipe_of_a_run_is_the_one_it_was_created_with(run):
    assert RunDirectory(run.path).config == run.config
    assert RunDirectory(run.path).config.student.backbone == "mean_of_twelve"


def test_the_size_counts_binary_weights_as_bits_and_leaves_out_the_head():
    layers = [keras.layers.Conv2D(12, 3, use_bias=False), BinaryConv2D(16, 3)]
    network = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), *layers, keras.layers.GlobalAveragePooling2D()]
    )
    encoder = LoadedEncoder(Encoder(network, projection_head(16, 8)), Config(), "student")
    thresholds = layers[1].count_params() - 9 * 12 * 16
    assert encoder.size_bytes == 4 * (9 * 3 * 12 + thresholds) + 9 * 12 * 16 / 8
