"""A `.tflite` as an encoder: outputs, card, and files that are something else."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import DataConfig
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import ModelError
from s2bnn_tf.export import convert, export_encoder
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.tflite.encoder import TFLiteEncoder
from s2bnn_tf.tflite.graph import TFLiteGraph
from s2bnn_tf.tflite.interpreter import kernel_options

pytestmark = pytest.mark.both_sets

keras = tf.keras


def tiny_encoder(size: int, pool: int = 1) -> Encoder:
    keras.utils.set_random_seed(0)
    image = keras.Input((size, size, 3), name="image")
    x = keras.layers.Conv2D(8, pool, pool)(image)
    x = keras.layers.BatchNormalization()(BinaryConv2D(12, 3)(x))
    return Encoder(keras.Model(image, keras.layers.GlobalAveragePooling2D()(x)), None)


def noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return tiny_encoder(8)


@pytest.fixture(scope="module")
def folder(encoder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    export_encoder(
        encoder,
        folder / "model.tflite",
        image_size=8,
        center_crop=0.5,
        images=noise(4, 8),
        source="digits",
    )
    (folder / "bare.tflite").write_bytes(convert(encoder, image_size=8, head="projection"))
    return folder


def test_with_its_card(folder, encoder):
    opened = TFLiteEncoder(folder / "model.tflite")
    assert (opened.name, opened.path) == ("model.tflite", folder / "model.tflite")
    assert (opened.image_size, opened.center_crop, opened.head) == (8, 0.5, "none")
    assert (opened.data_source, opened.labels, opened.feature_dim) == ("digits", None, 12)
    assert opened.size_bytes == (folder / "model.tflite").stat().st_size
    assert opened.card["binary_convolutions"] == 1


def test_without_a_card(folder):
    opened = TFLiteEncoder(str(folder / "bare.tflite"))
    assert (opened.image_size, opened.center_crop, opened.head) == (8, 0.875, "projection")
    assert (opened.data_source, opened.labels, opened.card) == (None, None, {})
    assert opened.center_crop == DataConfig().center_crop


def test_features_and_embeddings(folder, encoder):
    opened = TFLiteEncoder(folder / "model.tflite")
    images = noise(5, 8)
    features = opened.features(images)
    expected = encoder.backbone(normalize(images)).numpy()
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(opened.features(images.astype(np.float32)), features)
    np.testing.assert_allclose(
        opened.embed(images), features / np.linalg.norm(features, axis=1, keepdims=True), rtol=1e-6
    )
    assert opened.features(images[:0]).shape == (0, 12)


def test_zero_output_has_no_direction(folder):
    opened = TFLiteEncoder(folder / "model.tflite")
    np.testing.assert_array_equal(opened.project(np.zeros((2, 12))), np.zeros((2, 12)))


def test_right_kernel_where_the_fast_ones_are_wrong(tmp_path):
    """On a 2x2 map with a 3x3 filter, the default and indirect kernels of Larq are wrong."""
    encoder = tiny_encoder(8, pool=4)
    data = convert(encoder, image_size=8)
    assert kernel_options(TFLiteGraph(data))["use_reference_bconv"]
    (tmp_path / "a.tflite").write_bytes(data)
    images = noise(3, 8)
    np.testing.assert_allclose(
        TFLiteEncoder(tmp_path / "a.tflite").features(images),
        encoder.backbone(normalize(images)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_card_of_another_file(folder, tmp_path):
    (tmp_path / "a.tflite").write_bytes((folder / "bare.tflite").read_bytes())
    (tmp_path / "a.json").write_bytes((folder / "model.json").read_bytes())
    with pytest.raises(ModelError, match="describes another file than a.tflite"):
        TFLiteEncoder(tmp_path / "a.tflite")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a.json is damaged"),
        ("[1]", "a.json is damaged .it holds list"),
        (json.dumps({}), "another file"),
        ('{"center_crop": 0}', "center_crop is 0, not a number above 0 up to 1"),
        ('{"center_crop": -1}', "center_crop is -1"),
        ('{"center_crop": NaN}', "it holds NaN"),
        ('{"center_crop": 1e9}', "center_crop is 1000000000.0"),
        ('{"center_crop": "0.9"}', "center_crop is 0.9"),
        ('{"labels": ["a", 1]}', "labels is .*not a list of a text"),
        ('{"head": "softmax"}', "head is softmax, not one of none"),
    ],
)
def test_a_card_that_is_not_one(folder, tmp_path, text, message):
    (tmp_path / "a.tflite").write_bytes((folder / "bare.tflite").read_bytes())
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        TFLiteEncoder(tmp_path / "a.tflite")


def test_a_file_that_is_not_a_model(folder, tmp_path):
    path = tmp_path / "a.tflite"
    with pytest.raises(ModelError, match="Cannot read .*a.tflite: No such file"):
        TFLiteEncoder(path)
    path.write_text("not a model, but long enough")
    with pytest.raises(ModelError, match="lacks the identifier TFL3.*; make it again with"):
        TFLiteEncoder(path)
    whole = (folder / "bare.tflite").read_bytes()
    for share in (0.01, 0.3, 0.7, 0.95):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ModelError, match="damaged or cut short"):
            TFLiteEncoder(path)


@pytest.mark.parametrize("shape", [(8, 8, 2), (8, 4, 4), (3,)])
def test_model_that_takes_something_else(tmp_path, shape):
    inputs = keras.Input(shape, 1)
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(inputs))
    call = tf.function(keras.Model(inputs, outputs)).get_concrete_function(
        tf.TensorSpec((1, *shape), tf.float32)
    )
    path = tmp_path / "a.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([call]).convert())
    with pytest.raises(ModelError, match="not from one float32 image"):
        TFLiteEncoder(path)
