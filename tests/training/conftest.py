"""A network that compiles in a second, and finished runs of it that many tests share."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.backbones import Encoder, projection_head, register_backbone
from s2bnn_tf.config import (
    Config,
    DataConfig,
    MonitorConfig,
    ObjectiveConfig,
    OptimizerConfig,
    StudentConfig,
    TeacherConfig,
)
from s2bnn_tf.layers import BinaryConv2D, RPReLU
from s2bnn_tf.runs import CheckpointStore, RunDirectory
from s2bnn_tf.training import pretrain

keras = tf.keras

FEATURES = 12


@register_backbone("tiny")
def tiny(input_shape, *, binarize_weights: bool = True, width: float = 1.0) -> keras.Model:
    """A user's own backbone: one real and one binary convolution."""
    filters = round(FEATURES * width)
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(image)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    x = BinaryConv2D(filters, 3, binarize_weights=binarize_weights)(x)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(RPReLU()(x)))


register_backbone("same_by_another_name")(tiny)


def tiny_encoder(seed: int, embedding_dim: int = 8) -> Encoder:
    """Build an encoder of 8x8 images with weights and statistics as after some training."""
    keras.utils.set_random_seed(seed)
    encoder = Encoder(tiny((8, 8, 3)), projection_head(FEATURES, embedding_dim))
    encoder.build((None, 8, 8, 3))
    rng = np.random.default_rng(seed)
    for weight in encoder.weights:
        if "moving" in weight.name or "gamma" in weight.name:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return encoder


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., Encoder]:
    return tiny_encoder


# 1437 digits in batches of 256 are 5 steps per epoch.
STEPS = 5


@pytest.fixture(scope="session")
def contrast() -> Config:
    """A recipe: 2 epochs of contrastive training of the tiny network on small digits."""
    return Config(
        seed=3,
        epochs=2,
        data=DataConfig(source="digits", image_size=8, batch_size=256),
        student=StudentConfig(backbone="tiny", binarize_weights=False, embedding_dim=8),
        objective=ObjectiveConfig(
            contrastive_weight=1.0, distillation_weight=0.0, queue_size=400, momentum=0.9
        ),
        optimizer=OptimizerConfig(learning_rate=3e-3, weight_decay=1e-4),
        monitor=MonitorConfig(knn_every=0),
    )


@pytest.fixture(scope="session")
def change() -> Callable[..., Config]:
    """Change values of a recipe: `change(config, epochs=3, data={"batch_size": 8})`."""

    def changed(config: Config, **changes) -> Config:
        for name, value in changes.items():
            if isinstance(value, dict):
                value = dataclasses.replace(getattr(config, name), **value)
            config = dataclasses.replace(config, **{name: value})
        return config

    return changed


@pytest.fixture(scope="session")
def step1(contrast, tmp_path_factory) -> RunDirectory:
    """A finished run of the contrastive recipe; tests only read it."""
    return pretrain(contrast, tmp_path_factory.mktemp("runs") / "step1")


@pytest.fixture(scope="session")
def both(contrast, change, step1) -> Config:
    """A recipe with everything there is to save: step 2, contrast and distillation, 3 epochs."""
    return change(
        contrast,
        epochs=3,
        student={"binarize_weights": True, "init_from": str(step1.path)},
        teacher=TeacherConfig(weights=str(step1.path)),
        objective={"distillation_weight": 1.0},
    )


@pytest.fixture(scope="session")
def uninterrupted(both, tmp_path_factory) -> RunDirectory:
    """A run of that recipe that nothing disturbed; tests only read it."""
    return pretrain(both, tmp_path_factory.mktemp("runs") / "uninterrupted")


@pytest.fixture(scope="session")
def metrics() -> Callable[[RunDirectory], list[dict]]:
    def read(run: RunDirectory) -> list[dict]:
        return [json.loads(line) for line in Path(run.metrics_path).read_text().splitlines()]

    return read


@pytest.fixture(scope="session")
def state() -> Callable[[RunDirectory], dict[str, np.ndarray]]:
    """Read everything that the newest checkpoint of a run holds, by name."""

    def read(run: RunDirectory) -> dict[str, np.ndarray]:
        reader = tf.train.load_checkpoint(CheckpointStore(run.checkpoints).newest().prefix)
        names = [name for name in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in name]
        return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}

    return read


@pytest.fixture(scope="session")
def assert_same_run(state, metrics):
    """Two runs ended in the same state and logged the same learning."""

    def check(run: RunDirectory, other: RunDirectory, *, epochs: list[int]) -> None:
        ours, theirs = state(run), state(other)
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5, err_msg=name)
        assert [row["epoch"] for row in metrics(run)] == [row["epoch"] for row in metrics(other)]
        timed = {"seconds", "images_per_second"}
        for mine, yours in zip(metrics(run), metrics(other), strict=True):
            assert mine.keys() == yours.keys()
            assert mine["step"] == yours["step"]
            if mine["epoch"] in epochs:
                for name in mine.keys() - timed:
                    if not isinstance(mine[name], dict):
                        np.testing.assert_allclose(mine[name], yours[name], rtol=1e-3, err_msg=name)

    return check
