"""Vision transformers in timm's naming give what timm gave; tests/golden/timm.npz has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from oracle.weights import random_images, random_weights

from s2bnn_tf.backbones import VIT_SIZES, with_output
from s2bnn_tf.torch_import.assembly import import_tensors

ARCHITECTURES = {
    "vit_small_patch14_reg4_dinov2": "dinov2_vits14_reg_w0.166667",
    "vit_small_patch14_dinov2": "dinov2_vits14_w0.166667",
    "vit_small_patch16_224": "dino_vits16_w0.166667",
}


@pytest.fixture(autouse=True)
def float64(monkeypatch) -> Iterator[None]:
    monkeypatch.setitem(VIT_SIZES, "vit_small", replace(VIT_SIZES["vit_small"], blocks=3))
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx("float32")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_gives_what_timm_gave(name):
    path = Path(__file__).parents[1] / "golden" / "timm.npz"
    with np.load(path, allow_pickle=False) as golden:
        shapes = json.loads(golden[f"{name}/shapes"].item())
        expected = {key.partition("/")[2]: golden[key] for key in golden if f"{name}/" in key}
    del expected["shapes"]
    tensors = random_weights({key: tuple(shape) for key, shape in shapes.items()})
    for index, (size, both) in enumerate(expected.items()):
        height, width = map(int, size.split("x"))
        imported = import_tensors(tensors, image_size=(height, width))
        assert imported.record["architecture"] == ARCHITECTURES[name]
        backbone = with_output(imported.encoder.backbone, "class_and_patches")
        found = backbone(random_images((2, height, width, 3)))
        # timm interpolates positions in float32, whatever the network computes in.
        tolerance = 1e-8 if index == 0 else 1e-6
        np.testing.assert_allclose(found, both, rtol=0, atol=tolerance * np.abs(both).max())
