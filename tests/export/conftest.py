"""Encoders with random but non-trivial weights, real images, and files made of them once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

from s2bnn_tf.backbones import Encoder, build_backbone, projection_head
from s2bnn_tf.data import open_source
from s2bnn_tf.export import ParityReport, convert_model, deployment_model, verify
from s2bnn_tf.layers import ChannelBias, RPReLU, RSign
from s2bnn_tf.tflite.encoder import OUTPUT_NAMES

keras = tf.keras


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Give statistics, shifts and slopes values that training might have left."""
    rng = np.random.default_rng(seed)
    for layer in model.submodules:
        if not isinstance(layer, (keras.layers.BatchNormalization, ChannelBias, RPReLU, RSign)):
            continue
        for weight in layer.weights:
            name = weight.name.split("/")[-1]
            if name.startswith(("gamma", "moving_variance")):
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            elif name.startswith("slope"):
                weight.assign(rng.uniform(0.0, 0.5, weight.shape))
            else:
                weight.assign(rng.normal(0, 0.3, weight.shape))


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., Encoder]:
    def make(name: str, size: int, embedding_dim: int = 16, **options) -> Encoder:
        tf.keras.utils.set_random_seed(0)
        backbone = build_backbone(name, (size, size, 3), **options)
        randomize(backbone)
        head = projection_head(backbone.output_shape[-1], embedding_dim)
        encoder = Encoder(backbone, head)
        encoder.build((None, size, size, 3))
        return encoder

    return make


@pytest.fixture(scope="session")
def wrap() -> Callable[..., Encoder]:
    """An encoder of a user's own layers, from a function of the image."""

    def make(layers: Callable, size: int = 8, embedding_dim: int | None = None) -> Encoder:
        tf.keras.utils.set_random_seed(0)
        image = keras.Input((size, size, 3), name="image")
        features = keras.layers.GlobalAveragePooling2D(name="pool")(layers(image))
        backbone = keras.Model(image, features, name="own")
        randomize(backbone)
        head = projection_head(features.shape[-1], embedding_dim) if embedding_dim else None
        return Encoder(backbone, head)

    return make


@pytest.fixture(scope="session")
def convert_and_verify() -> Callable[..., ParityReport]:
    def run(encoder, images, head="none", probe=None, deployed=None) -> ParityReport:
        deployed = deployed or deployment_model(encoder, images.shape[1], head, probe)
        model = convert_model(deployed, output_name=OUTPUT_NAMES[head])
        return verify(encoder, model, images, deployed=deployed, head=head, probe=probe)

    return run


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    def make(size: int = 8, count: int = 4) -> np.ndarray:
        shape = (count, size, size, 3)
        return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    return open_source("digits", "test").images[:8].astype(np.float32)


@pytest.fixture(scope="session")
def photographs() -> Callable[[int, int], np.ndarray]:
    """Crops of scikit-learn's two photographs: `(count, size, size, 3)`."""

    def crop(size: int, count: int = 4) -> np.ndarray:
        rng = np.random.default_rng(0)
        pictures = load_sample_images().images
        crops = []
        for index in range(count):
            picture = pictures[index % 2]
            top, left = (rng.integers(0, side - 256) for side in picture.shape[:2])
            crops.append(picture[top : top + 256, left : left + 256])
        return tf.image.resize(np.stack(crops), (size, size), antialias=True).numpy()

    return crop


@pytest.fixture(scope="session")
def small_encoder(make_encoder) -> Encoder:
    return make_encoder("reactnet", 32, stem="small", width=0.25)


@pytest.fixture(scope="session")
def small_deployed(small_encoder) -> keras.Model:
    return deployment_model(small_encoder, 32)


@pytest.fixture(scope="session")
def small_model(small_deployed) -> bytes:
    return convert_model(small_deployed, output_name="features")
