"""An encoder one can reason about: the pixels themselves, or a random projection of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import register_backbone, registry

keras = tf.keras


class PixelEncoder:
    """Features are pixels (B, S * S * 3) in [-0.5, 0.5], or a projection of them."""

    def __init__(self, image_size: int = 8, projection: np.ndarray | None = None, head=None):
        self.name = "pixels"
        self.path = Path("pixels.tflite")
        self.image_size = image_size
        self.channels = 3
        self.center_crop = 1.0
        self.data_source = "digits"
        self.projection = projection
        self.feature_dim = image_size**2 * 3 if projection is None else projection.shape[1]
        self.size_bytes = 4096
        self.head = head
        self.labels = None
        self.runtime = "lce"
        self.preparation = ""

    def features(self, images: np.ndarray) -> np.ndarray:
        assert images.shape[1:] == (self.image_size, self.image_size, 3)
        flat = np.asarray(images, np.float32).reshape(len(images), -1) / 255 - 0.5
        return flat if self.projection is None else flat @ self.projection

    def embed(self, images: np.ndarray) -> np.ndarray:
        return self.project(self.features(images))

    def project(self, features: np.ndarray) -> np.ndarray:
        return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.fixture
def make_encoder() -> type[PixelEncoder]:
    return PixelEncoder


@pytest.fixture
def pixel_encoder() -> PixelEncoder:
    return PixelEncoder()


@pytest.fixture
def blobs():
    return make_blobs


def make_blobs(count: int, dim: int, classes: int, seed: int, spread: float = 1.0):
    """Gaussian classes around fixed centers: (features (N, D) float32, labels (N,))."""
    centers = np.random.default_rng(99).normal(size=(classes, dim)) * 2
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    features = centers[labels] + spread * generator.normal(size=(count, dim))
    return features.astype(np.float32), labels.astype(np.int64)


@pytest.fixture(scope="session")
def tiny_backbone():
    """A network that is built in no time."""

    @register_backbone("tiny_real")
    def tiny(input_shape):
        return keras.Sequential(
            [
                keras.layers.Conv2D(24, 4, 4, activation="relu", input_shape=input_shape),
                keras.layers.GlobalAveragePooling2D(),
            ]
        )

    yield
    del registry._BACKBONES.entries["tiny_real"]
