"""An encoder in Python: what it makes of arrays and files, and what a notebook shows of it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import s2bnn_tf
from s2bnn_tf.config import load_config
from s2bnn_tf.data import load_image
from s2bnn_tf.errors import DataError, ModelError, UserError
from s2bnn_tf.evaluation import embed_images
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.recipes import config_path
from s2bnn_tf.runs import leave_untrained

keras = tf.keras

SIZE = 16


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained student of digits, a custom network that takes almost no time."""
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = BinaryConv2D(8, 3)(keras.layers.BatchNormalization()(x))
    x = keras.layers.BatchNormalization()(x)
    folder = tmp_path_factory.mktemp("runs")
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    network.save(folder / "network.keras")
    changes = ("source=digits", f"image_size={SIZE}")
    nothing = ("stem", "width", "binarize_weights", "kernel_initializer")
    config = load_config(
        config_path("fit/regression_step1.yaml"),
        [
            *(f"data.{change}" for change in changes),
            *(f"student.{name}=null" for name in nothing),
            f"student.backbone={folder / 'network.keras'}",
        ],
    )
    run = leave_untrained(config, folder / "run").path
    (folder / "network.keras").unlink()  # the run has its own copy
    return run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files of the network's own size and of others."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    paths = []
    for number, (height, width) in enumerate([(SIZE, SIZE), (40, 30), (9, 25)]):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        paths.append(folder / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def test_features_of_files_are_those_of_the_command_line(run, pictures, tmp_path):
    encoder = s2bnn_tf.load(run)
    embed_images(run, pictures, tmp_path / "features.npz")
    with np.load(tmp_path / "features.npz") as arrays:
        expected = arrays["features"]
    found = encoder.features(pictures)
    assert found.shape == (3, encoder.feature_dim) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encoder.features(map(str, pictures)), found)
    np.testing.assert_allclose(encoder.features(str(pictures[0])), found[:1], rtol=1e-4, atol=1e-5)


def test_an_array_of_its_own_size_is_used_as_it_is_and_another_as_a_file(run, pictures):
    encoder = s2bnn_tf.load(run)
    arrays = [load_image(path) for path in pictures]
    own, *others = encoder.features(arrays)
    of_files = encoder.features(pictures)
    np.testing.assert_allclose(others, of_files[1:], rtol=1e-4, atol=1e-5)
    assert np.abs(own - of_files[0]).max() > 1e-3  # a file is cropped even then
    larger = np.stack([arrays[1]] * 300)  # more than a batch
    many = encoder.features(larger)
    np.testing.assert_allclose(many, np.repeat(of_files[1:2], 300, axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (31, 12)])
def test_gray_arrays_are_gray_pictures(run, shape):
    """With or without an axis of channels; the network of three channels sees each three times."""
    gray = np.random.default_rng(2).integers(0, 256, (5, *shape), np.uint8)
    encoder = s2bnn_tf.load(run)
    expected = encoder.features(np.repeat(gray[..., np.newaxis], 3, axis=-1))
    np.testing.assert_allclose(encoder.features(gray), expected, atol=1e-6)
    np.testing.assert_allclose(encoder.features(gray[..., np.newaxis]), expected, atol=1e-6)
    np.testing.assert_allclose(encoder.features(list(gray)), expected, atol=1e-6)


def test_folders_and_videos_stand_for_their_pictures(run, pictures, film, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encoder, clip = s2bnn_tf.load(run), film(tmp_path / "clip.mp4", "temple0", 4)
    found = encoder.features([pictures[1], clip, pictures[0].parent])
    embed_images(run, [pictures[1], clip, pictures[0].parent], tmp_path / "features.npz")
    with np.load(tmp_path / "features.npz") as arrays:
        np.testing.assert_allclose(found, arrays["features"], rtol=1e-4, atol=1e-5)
        names = arrays["paths"].tolist()
    assert names[0] == str(pictures[1]) and names[5:] == list(map(str, pictures))
    assert names[1:5] == [str(clip / f"{100 * second:010}.jpg") for second in range(4)]
    by_name = encoder.features(names)
    np.testing.assert_allclose(by_name, found, rtol=1e-4, atol=1e-5)
    assert encoder.features("digits").shape == (1797, encoder.feature_dim)


def test_embeddings_have_unit_length_and_the_direction_of_the_features(run, pictures):
    encoder = s2bnn_tf.load(run)
    features, embedded = encoder.features(pictures), encoder.embed(pictures)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(embedded * lengths, features, rtol=1e-4, atol=1e-6)
    assert encoder.embed([]).shape == (0, encoder.feature_dim)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((SIZE, SIZE, 3), np.uint8), r"write images\[np.newaxis\]"),
        (
            np.zeros((2, SIZE, SIZE, 3), np.float32),
            r"array \(H, W, 3\) of uint8.*, not .* of float32",
        ),
        (np.zeros((2, SIZE, SIZE, 4), np.uint8), r"array \(H, W, 3\) of uint8"),
        (["nowhere.png"], "There is no image or folder nowhere.png"),
        (["idx:/nowhere"], "/nowhere"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(run, images, message):
    with pytest.raises(DataError, match=message):
        s2bnn_tf.load(run).features(images)


def test_what_is_no_encoder_is_refused_in_a_sentence(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match=str(path)):
            s2bnn_tf.load(path)


@pytest.mark.slow
def test_a_converted_file_is_an_encoder_too(run, pictures, tmp_path):
    encoder = s2bnn_tf.load(run)
    encoder.convert(tmp_path / "it.tflite")
    converted = s2bnn_tf.load(tmp_path / "it.tflite")
    assert (converted.image_size, converted.feature_dim) == (SIZE, encoder.feature_dim)
    similar = (converted.embed(pictures) * encoder.embed(pictures)).sum(axis=1)
    assert similar.min() > 0.99
    with pytest.raises(ModelError, match="is a converted file; open the run"):
        converted.bundle(tmp_path / "it.zip")


def test_it_says_what_it_is_in_text_and_in_a_notebook(run, tmp_path):
    bare = s2bnn_tf.load(run)
    assert repr(bare) == (
        f"FittedEncoder({str(run)!r}: 16x16 pixels to {bare.feature_dim} features)"
    )
    assert "<table>" not in bare._repr_html_()
    output = tmp_path / "<fit>"
    shutil.copytree(run, output / "student")
    (output / "plan.json").write_text("{}")
    results = {
        "knn": {"student": 0.713, "teacher": 0.69, "pixels_8x8": 0.528, "untrained": None},
        "linear": {"student": 0.889, "teacher": None, "pixels_8x8": None, "untrained": None},
        "neighbors_kept": {"top1": 0.4, "top5": 0.5},
        "paths": {"report": "/x/report.html"},
    }
    (output / "fit.json").write_text(json.dumps(results))
    fitted = s2bnn_tf.load(output)
    assert repr(fitted).endswith("features, kNN 71.3 %)")
    page = fitted._repr_html_()
    assert "<tr><td>student</td><td>71.3 %</td><td>88.9 %</td></tr>" in page
    assert "<tr><td>pixels, 8x8</td><td>52.8 %</td><td></td></tr>" in page
    assert "untrained" not in page and "<fit>" not in page and "&lt;fit&gt;" in page
    assert "keeps 40.0 %" in page and "/x/report.html" in page
