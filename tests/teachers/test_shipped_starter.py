"""The encoder that ships with the runtime's package: its card, its size, and what it can do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from s2bnn_runtime.few_shot import Embedder
from s2bnn_runtime.starter import starter_path

from s2bnn_tf.demo_pictures import cut_photographs
from s2bnn_tf.evaluation import knn_accuracy
from s2bnn_tf.files import sha256


def test_its_card_is_about_it_and_names_where_it_comes_from():
    model, card = starter_path(), json.loads(starter_path().with_suffix(".json").read_text())
    assert card["sha256"] == sha256(model)
    assert model.stat().st_size <= 600_000
    assert card["source"] is None  # no folder of the machine that made it
    assert card["starter"]["license"] == "Apache-2.0"
    for words in ("EfficientNet-Lite0", "openclipart-png", "gnome-backgrounds"):
        assert words in json.dumps(card["starter"])


def test_it_tells_photographs_apart_that_it_never_saw(tmp_path):
    pytest.importorskip("skimage")
    cut_photographs(tmp_path, crops=12)
    paths = sorted(tmp_path.rglob("*.png"))
    names = np.unique([path.parent.name for path in paths], return_inverse=True)[1]
    asked = np.arange(len(paths)) % 4 == 0
    pixels = np.stack([np.asarray(Image.open(p).resize((8, 8))).ravel() for p in paths])
    found = {
        "starter": Embedder(starter_path())(paths),
        "pixels": pixels - pixels.mean(),
    }
    knn = {
        name: knn_accuracy(rows[~asked], names[~asked], rows[asked], names[asked], k=5)["top1"]
        for name, rows in found.items()
    }
    assert knn["starter"] >= knn["pixels"] + 0.15
