"""Any network opened as an encoder: names, files of Keras and ONNX, and what they are told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from onnx_writer import means
from PIL import Image

import s2bnn_tf
from s2bnn_tf.cli import main
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import CheckpointError, ConfigError, ModelError
from s2bnn_tf.evaluation import evaluate_finetune, evaluate_knn, results_dir
from s2bnn_tf.teachers import PUBLISHED, Published, open_model
from s2bnn_tf.teachers.onnx_networks import Request, open_onnx

keras = tf.keras

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
NAME = "a_published_one"


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)


@pytest.fixture
def colors(tmp_path) -> Path:
    """A network of ONNX whose features are the means of the three channels of 16 pixels."""
    pytest.importorskip("onnxruntime")
    return means(tmp_path / "colors.onnx", image=("n", 3, 16, 16))


def test_an_onnx_file_takes_the_mean_and_std_that_it_is_told(pixels):
    pytest.importorskip("onnxruntime")
    path = GOLDEN / "onnx" / "plain.onnx"
    encoder = s2bnn_tf.load(path, mean=0, std=1)
    wanted = open_onnx(path, Request(mean=(0.0,), std=(1.0,)))(pixels / np.float32(255))
    np.testing.assert_allclose(encoder.features(pixels), wanted, atol=1e-5)
    usual = s2bnn_tf.load(path).features(pixels)
    with np.load(GOLDEN / "onnx.npz") as golden:
        np.testing.assert_allclose(
            s2bnn_tf.load(path).features(golden["pixels"]), golden["plain"], atol=1e-5
        )
    assert np.abs(usual - wanted).max() > 0.01
    assert (encoder.image_size, encoder.feature_dim) == (32, 10)
    np.testing.assert_allclose(np.linalg.norm(encoder.embed(pixels), axis=1), 1, atol=1e-6)


def test_a_keras_file_likewise(tmp_path, pixels):
    image = keras.Input((None, None, 3))
    network = keras.Model(image, keras.layers.Conv2D(4, 3)(image))
    network.save(tmp_path / "x.keras")
    encoder = s2bnn_tf.load(tmp_path / "x.keras", mean=0.5, std=[0.2, 0.3, 0.4], size=32)
    x = (pixels / np.float32(255) - 0.5) / np.float32([0.2, 0.3, 0.4])
    wanted = network(x).numpy().mean((1, 2))
    np.testing.assert_allclose(encoder.features(pixels), wanted, atol=1e-5)
    usual = s2bnn_tf.load(tmp_path / "x.keras", size=32).features(pixels)
    wanted = network(normalize(tf.constant(pixels))).numpy().mean((1, 2))
    np.testing.assert_allclose(usual, wanted, atol=1e-5)
    assert s2bnn_tf.load(tmp_path / "x.keras").image_size == 224


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_a_picture_that_is_not_square_is_cropped_or_squashed(colors, tmp_path, resize):
    """Red, green and blue thirds beside each other: the center is green."""
    stripes = np.zeros((40, 120, 3), np.uint8)
    for third in range(3):
        stripes[:, 40 * third : 40 * (third + 1), third] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    encoder = s2bnn_tf.load(colors, mean=0, std=1, resize=resize)
    wanted = [0, 1, 0] if resize == "crop" else [1 / 3] * 3
    for given in (tmp_path / "stripes.png", stripes):
        np.testing.assert_allclose(encoder.features([given]), [wanted], atol=0.01)


def test_every_source_can_squash_its_images(tmp_path):
    """A folder of files decodes and resizes them; a source in memory has them already."""
    from s2bnn_tf.data import ArraySource, labeled_dataset, open_images

    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 20, 60, 3)).astype(np.uint8)
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    options = {"image_size": (10, 15), "batch_size": 2, "center_crop": None}
    wanted = [
        np.asarray(Image.fromarray(p).resize((15, 10), Image.Resampling.BILINEAR)) for p in pictures
    ]
    in_memory = ArraySource("x", "train", None, (), images=pictures)
    for source in (open_images([tmp_path]), in_memory):
        ((images, _),) = labeled_dataset(source, **options).as_numpy_iterator()
        np.testing.assert_allclose(images, wanted, atol=1)


def test_embed_writes_features_of_an_onnx_file(colors, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, color in enumerate([(255, 0, 0), (0, 51, 0)]):
        Image.new("RGB", (30, 20), color).save(folder / f"{i}.png")
    output = tmp_path / "out.npz"
    words = ["embed", str(colors), str(folder), "--output", str(output), "--json"]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert json.loads(done.stdout.splitlines()[-1])["feature_dim"] == 3
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    wanted = (np.float32([[1, 0, 0], [0, 0.2, 0]]) - mean) / std
    with np.load(output) as found:
        np.testing.assert_allclose(found["features"], wanted, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(found["embeddings"], axis=1), 1, atol=1e-6)
    CliRunner().invoke(main, [*words, "--set", "mean=0", "--set", "std=[1, 0.2, 1]"])
    with np.load(output) as found:
        np.testing.assert_allclose(found["features"], [[1, 0, 0], [0, 1, 0]], atol=1e-5)
    done = CliRunner().invoke(main, [*words, "--set", "epochs=0"])
    assert (done.exit_code, "expected mean, std, image_size" in done.output) == (1, True)


def test_results_of_a_file_are_beside_it_and_depend_on_what_it_is_told(tmp_path):
    """The same network as a .tflite has other results, and another mean other features."""
    pytest.importorskip("onnxruntime")
    path = tmp_path / "plain.onnx"
    shutil.copy(GOLDEN / "onnx" / "plain.onnx", path)
    assert results_dir(path) == tmp_path / "plain.onnx.eval"
    first = evaluate_knn(path, "digits")
    assert first["size_bytes"] == path.stat().st_size
    assert first["top1"] > 0.3  # ten classes, by a few random convolutions
    assert (tmp_path / "plain.onnx.eval" / "knn.json").is_file()
    other = open_model(path, mean=4.0, std=[1.0, 0.01, 1.0])
    assert evaluate_knn(path, "digits", encoder=other)["top1"] != first["top1"]
    assert len(list((results_dir(path) / "features").iterdir())) == 4
    with pytest.raises(ModelError, match="fine-tune a run directory"):
        evaluate_finetune(path, "digits")


def test_a_name_that_was_never_downloaded_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path))
    facts = ("resnet18", 1.0, "in a test", 50.0, "CC0", "https://a.example/x", "https://a.example")
    monkeypatch.setitem(PUBLISHED, NAME, Published(NAME, *facts, image_size=96))
    with pytest.raises(CheckpointError, match=f"run `s2bnn teachers get {NAME}`"):
        s2bnn_tf.load(NAME)
    with pytest.raises(CheckpointError, match="never downloaded"):
        results_dir(NAME)
    with pytest.raises(CheckpointError, match=f"does not exist; name a run .*{NAME}"):
        open_model(NAME[:-1])


def test_options_that_do_not_fit_are_refused(colors, tmp_path):
    with pytest.raises(ConfigError, match="mean: expected one number or three"):
        open_model(colors, mean=[1, 2])
    with pytest.raises(ConfigError, match="std: expected more than 0"):
        open_model(colors, std=0)
    with pytest.raises(ConfigError, match="resize: expected crop or squash"):
        open_model(colors, resize="stretch")
    with pytest.raises(ConfigError, match="takes images of 16x16 pixels alone"):
        open_model(colors, size=20)
    (tmp_path / "run").mkdir()
    with pytest.raises(ConfigError, match="of .keras and .onnx files alone"):
        open_model(tmp_path / "run", mean=0)
    with pytest.raises(CheckpointError, match="absent.onnx does not exist"):
        open_model(tmp_path / "absent.onnx")
