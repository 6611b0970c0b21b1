"""The benchmark on MVTec AD, with a made folder of its layout."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("s2bnn_runtime.normal")

import mvtec
from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.errors import S2bnnError


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A network whose map is the picture itself, of 16 by 16 places."""
    import tensorflow as tf

    image = tf.keras.Input((32, 32, 3), 1)
    model = tf.keras.Model(image, tf.keras.layers.AveragePooling2D(2)(image))
    path = tmp_path_factory.mktemp("model") / "colors.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return Embedder(path)


@pytest.fixture
def category(tmp_path):
    """Gray pictures, 96 by 64; those with a scratch have a mask of where it is."""
    rng = np.random.default_rng(0)

    def draw(path, scratch=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.normal(120, 4, (64, 96, 1)).repeat(3, axis=2)
        if scratch is not None:
            left, top = scratch
            pixels[top : top + 16, left : left + 16] = 220
            mask = np.zeros((64, 96), np.uint8)
            mask[top : top + 16, left : left + 16] = 255
            folder = tmp_path / "cable" / "ground_truth" / path.parent.name
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(folder / f"{path.stem}_mask.png")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)

    for number in range(8):
        draw(tmp_path / "cable" / "train" / "good" / f"{number:03}.png")
        draw(tmp_path / "cable" / "test" / "good" / f"{number:03}.png")
    for number, place in enumerate([(0, 0), (80, 48), (40, 20)]):
        draw(
            tmp_path / "cable" / "test" / ("scratch", "cut")[number % 2] / f"{number:03}.png", place
        )
    return tmp_path / "cable"


@pytest.mark.parametrize("tiles", [1, 2])
def test_scratches_are_found_where_they_are(encoder, category, tiles):
    assert mvtec.categories(category.parent) == mvtec.categories(category) == [category]
    found = mvtec.measure(encoder, category, "patches", tiles)
    assert found["image"] == 1.0
    assert 0.97 < found["pixel"] <= 1.0


def test_a_gaussian_of_whole_pictures_has_no_pixels(encoder, category):
    found = mvtec.measure(encoder, category, "gaussian", 1)
    assert found == {"image": 1.0, "pixel": None}
    table = mvtec.make_table({"cable": found, "pill": {"image": 0.5, "pixel": 0.75}})
    assert table.splitlines()[2:] == [
        "| cable | 100.0 % |  |",
        "| pill | 50.0 % | 75.0 % |",
        "| mean | 75.0 % |  |",
    ]


def test_what_is_missing_is_named(encoder, category):
    with pytest.raises(S2bnnError, match="has no category"):
        mvtec.categories(category / "test")
    (category / "ground_truth" / "cut" / "001_mask.png").unlink()
    with pytest.raises(S2bnnError, match="001_mask.png is missing"):
        mvtec.measure(encoder, category, "patches", 1)
