"""The projection head and the Encoder."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from s2bnn_tf.backbones import Encoder, projection_head
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.layers import BinaryConv2D, RPReLU

keras = tf.keras


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    keras.utils.set_random_seed(0)
    backbone = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            BinaryConv2D(12, 3),
            keras.layers.BatchNormalization(),
            RPReLU(),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    return Encoder(backbone, projection_head(12, 16))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype(np.float32)


def test_the_head_is_two_linear_layers_with_relu_between():
    head = projection_head(12, 5)
    features = np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)
    kernel1, bias1, kernel2, bias2 = head.get_weights()
    expected = np.maximum(features @ kernel1 + bias1, 0) @ kernel2 + bias2
    np.testing.assert_allclose(head(features), expected, atol=1e-5)
    assert (kernel1.shape, kernel2.shape) == ((12, 12), (12, 5))


def test_a_head_of_other_layers_and_width():
    keras.utils.set_random_seed(0)
    head = projection_head(12, 5, layers="linear bn gelu linear bn", hidden_dim=7)
    features = np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)
    for layer in head.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
            layer.moving_mean.assign_add(np.full(layer.moving_mean.shape, 0.1))
    _, linear1, norm1, _, linear2, norm2 = head.layers
    hidden = norm1(linear1(features)).numpy()
    assert hidden.shape == (4, 7)
    gelu = hidden * 0.5 * (1 + special.erf(hidden / 2**0.5))
    np.testing.assert_allclose(head(features), norm2(linear2(gelu)), atol=1e-6)
    assert head.output_shape == (None, 5)


@pytest.mark.parametrize("layers", ["", "relu", "linear dropout linear", "linear,relu"])
def test_a_head_of_unknown_layers(layers):
    with pytest.raises(ConfigError, match="A head is made of the words linear, bn, relu, gelu"):
        projection_head(12, 5, layers=layers)


def test_the_head_starts_like_pytorchs_linear():
    limit = 400**-0.5  # uniform within it, kernels and biases alike
    for weight in projection_head(400, 64).get_weights():
        assert 0.9 * limit < np.abs(weight).max() <= limit
        assert weight.min() < -0.8 * limit
        np.testing.assert_allclose(weight.std(), limit / 3**0.5, rtol=0.2)


def test_embeddings_are_normalized_head_outputs(encoder, images):
    embeddings = encoder(images).numpy()
    assert embeddings.shape == (5, encoder.embedding_dim) == (5, 16)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    outputs = encoder.head(encoder.backbone(images)).numpy()
    expected = outputs / np.linalg.norm(outputs, axis=1, keepdims=True)
    np.testing.assert_allclose(embeddings, expected, atol=1e-6)


def test_without_a_head_features_are_the_embedding(encoder, images):
    headless = Encoder(encoder.backbone)
    features = encoder.backbone(images).numpy()
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(headless(images), expected, atol=1e-6)
    assert headless.embedding_dim == 12


def test_training_reaches_the_backbone(encoder, images):
    """Training uses batch statistics; inference is the default."""
    before = encoder.get_weights()
    np.testing.assert_array_equal(encoder(images), encoder(images, training=False))
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not np.allclose(encoder(images), encoder(images, training=True))
    assert any(
        not np.array_equal(old, new) for old, new in zip(before, encoder.get_weights(), strict=True)
    )
    encoder.set_weights(before)


@pytest.mark.parametrize("with_head", [True, False])
def test_a_keras_file_brings_back_every_bit(with_head, encoder, images, tmp_path):
    model = Encoder(encoder.backbone, encoder.head if with_head else None, name="encoder")
    expected = model(images).numpy()
    model.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    assert (loaded.head is not None) == with_head
    np.testing.assert_array_equal(loaded(images), expected)
    np.testing.assert_array_equal(loaded.backbone(images), encoder.backbone(images))


def test_an_encoder_of_built_parts_is_built_and_is_not_traced_to_see_that():
    traced = []

    class Noted(keras.layers.Layer):
        def call(self, x):
            traced.append(not tf.executing_eagerly())
            return x

    backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    image = keras.Input((8, 8, 3))
    noted = keras.Model(image, backbone(Noted()(image)))
    traced.clear()  # Keras made the functional model by a trace
    encoder = Encoder(noted, projection_head(3, 4))
    assert len(encoder.get_weights()) == 4
    encoder(np.zeros((2, 8, 8, 3), np.float32))
    assert traced == [False]
