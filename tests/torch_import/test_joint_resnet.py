"""CLIP's ResNet gives what open_clip gave; tests/golden/clip_resnet.npz has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from oracle.weights import random_images, random_weights

from s2bnn_tf.data import IMAGENET_MEAN, IMAGENET_STD
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.torch_import.joint_resnet import import_joint_resnet, is_joint_resnet

SIDE = 64
OPTIONS = {"architecture": None, "step": None, "data": "digits", "image_size": SIDE}
GOLDEN = Path(__file__).parents[1] / "golden" / "clip_resnet.npz"


@pytest.fixture
def float64() -> Iterator[None]:
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


def tensors() -> dict[str, np.ndarray]:
    with np.load(GOLDEN, allow_pickle=False) as golden:
        shapes = json.loads(golden["shapes"].item())
    short = {name.removeprefix("visual."): tuple(shape) for name, shape in shapes.items()}
    return {f"visual.{name}": value for name, value in random_weights(short).items()}


def test_the_tower_gives_what_open_clip_gave(float64):
    state = {**tensors(), "logit_scale": np.ones(()), "token_embedding.weight": np.ones((3, 2))}
    assert is_joint_resnet(state)
    imported = import_joint_resnet(state, **OPTIONS)
    assert imported.record["architecture"] == "clip_rn50_w0.25"
    assert sum(map(len, imported.record["ignored"].values())) > 2
    images = random_images((2, SIDE, SIDE, 3))  # as CLIP normalizes them
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    given = ((images * std + mean) - IMAGENET_MEAN) / IMAGENET_STD
    found = imported.encoder.backbone(given).numpy()
    with np.load(GOLDEN, allow_pickle=False) as golden:
        wanted = golden["embeddings"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-8 * np.abs(wanted).max())


def test_another_size_and_what_does_not_fit():
    state = tensors()
    imported = import_joint_resnet(state, **{**OPTIONS, "image_size": (96, 64)})
    found = imported.encoder.backbone(np.zeros((1, 96, 64, 3), np.float32))
    assert found.shape == (1, 1024) and np.isfinite(found).all()
    with pytest.raises(ConfigError, match=r"looks like clip_rn50_w0.25 and not like clip_vit_b32"):
        import_joint_resnet(state, **{**OPTIONS, "architecture": "clip_vit_b32"})
    with pytest.raises(ConfigError, match="--step is for a reactnet"):
        import_joint_resnet(state, **{**OPTIONS, "step": 1})
    lacking = {name: value for name, value in state.items() if "q_proj.weight" not in name}
    with pytest.raises(ModelError, match="it lacks clip_rn50.*q_proj.weight"):
        import_joint_resnet(lacking, **OPTIONS)
    fewer = {name: value for name, value in state.items() if ".layer3.5." not in name}
    with pytest.raises(ModelError, match=r"of \(3, 4, 5, 3\) blocks"):
        import_joint_resnet(fewer, **OPTIONS)
