"""From pictures to a device, with a network whose input is a rectangle of one channel."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import s2bnn_tf
from s2bnn_tf.backbones import build_backbone, register_backbone
from s2bnn_tf.config import load_config
from s2bnn_tf.data import load_image, open_source, see
from s2bnn_tf.errors import ConfigError, DataError, ModelError
from s2bnn_tf.evaluation import (
    evaluate_calibration,
    evaluate_finetune,
    evaluate_knn,
    evaluate_linear,
    knn_monitor,
    spread_monitor,
)
from s2bnn_tf.export import bundle, convert_run, deployment_model
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.runs import RunDirectory, leave_untrained, load_encoder
from s2bnn_tf.training import pretrain

keras = tf.keras
ROOT = Path(__file__).resolve().parents[1]
SHAPE = 16, 32, 1

TEACHER = """
data: {source: digits, image_size: 32, batch_size: 64}
student: {backbone: of_test_shapes, embedding_dim: 8, binarize_weights: false}
objective: {contrastive_weight: 1, distillation_weight: 0, queue_size: 64}
"""
STUDENT = """
steps: 4
data: {source: digits, image_size: [16, 32], channels: 1, batch_size: 64}
student: {backbone: of_test_shapes, embedding_dim: 8}
"""


@register_backbone("of_test_shapes")
def small(input_shape, *, binarize_weights: bool = True) -> keras.Model:
    """One real and one binary convolution, for maps of any shape."""
    image = keras.Input(input_shape)
    x = keras.layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(image)
    x = keras.layers.BatchNormalization()(x)
    x = BinaryConv2D(32, 3, binarize_weights=binarize_weights)(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A gray student of a rectangle, guided by a teacher in color; with a linear probe."""
    folder = tmp_path_factory.mktemp("shapes")
    for name, text in {"teacher": TEACHER, "student": STUDENT}.items():
        (folder / f"{name}.yaml").write_text(text)
    leave_untrained(load_config(folder / "teacher.yaml"), folder / "teacher")
    config = load_config(folder / "student.yaml", [f"teacher.weights={folder / 'teacher'}"])
    monitor = knn_monitor(config)
    assert monitor is not None
    monitors = {"knn": monitor, "spread": spread_monitor(config)}
    pretrain(config, folder / "student", monitors=monitors)
    evaluate_linear(folder / "student")
    return folder / "student"


@pytest.fixture(scope="module")
def model(run) -> Path:
    convert_run(run, run.parent / "student.tflite")
    return run.parent / "student.tflite"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    """A gray and a colored picture, neither of the shape of the input."""
    rng = np.random.default_rng(0)
    color = Image.fromarray(rng.integers(0, 256, (9, 7, 3)).astype(np.uint8)).resize((70, 90))
    folder = tmp_path_factory.mktemp("pictures")
    color.save(folder / "color.png")
    color.convert("L").save(folder / "gray.png")
    return [folder / "color.png", folder / "gray.png"]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def test_it_was_trained_and_monitored(run):
    rows = [json.loads(line) for line in RunDirectory(run).metrics_path.read_text().splitlines()]
    assert np.isfinite(rows[-1]["loss"]) and 0 <= rows[-1]["knn"] <= 1
    assert 1 <= rows[-1]["rankme"] <= 32 and rows[-1]["uniformity"] < 0 < rows[-1]["alignment"]
    again = load_config(RunDirectory(run).config_path)
    assert again.data.shape == SHAPE
    assert load_encoder(run).backbone.input_shape == (None, *SHAPE)


def test_every_measure_runs(run):
    found = evaluate_knn(run)
    assert found["top1"] > 0.2  # random weights have more than chance
    assert found == json.loads((RunDirectory(run).eval_dir / "knn.json").read_text())
    assert (found["image_size"], found["channels"]) == ([16, 32], 1)
    assert evaluate_finetune(run, epochs=1, labels="10%")["top1"] >= 0
    found = evaluate_calibration(run, views=64)
    assert found["teacher"]["entropy_mean"] > 0 and np.isfinite(found["kl_mean"])


def test_the_file_is_measured_like_the_run(run, model):
    card = json.loads(model.with_suffix(".json").read_text())
    assert card["image_size"] == [16, 32]
    assert card["input"]["shape"] == [1, *SHAPE] and card["input"]["range"] == "gray 0-255"
    assert card["parity"]["cosine_min"] > 0.999 and card["binary_convolutions"] == 1
    assert evaluate_knn(model)["top1"] == pytest.approx(evaluate_knn(run)["top1"], abs=0.02)


def test_files_and_arrays_are_seen_alike(run, model, pictures):
    trained, converted = s2bnn_tf.load(run), s2bnn_tf.load(model)
    assert trained.image_size == converted.image_size == (16, 32)
    assert "16x32 gray pixels" in repr(trained)
    expected = trained.features(pictures)
    assert cosines(expected, converted.features(pictures)).min() > 0.999
    arrays = [load_image(path) for path in pictures]
    np.testing.assert_array_equal(trained.features(arrays), expected)
    inputs = np.stack([see(pixels, SHAPE, 0.875) for pixels in arrays])
    np.testing.assert_allclose(trained.features(inputs), expected, atol=1e-6)
    # Of its own height and width, an array is not cropped, whatever its channels.
    repeated = np.repeat(inputs, 3, axis=3)
    np.testing.assert_allclose(trained.features(repeated), expected, atol=1e-6)
    flat = trained.features(list(inputs[..., 0]))
    np.testing.assert_allclose(flat, expected, atol=1e-6)
    with pytest.raises(DataError, match=r"array \(H, W, 3\) of uint8, or gray, \(H, W\) or"):
        trained.features([np.zeros((16, 32, 2), np.uint8)])


def test_an_encoder_of_colors_takes_gray_arrays(run):
    encoder = s2bnn_tf.load(run.parent / "teacher")
    gray = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 1)).astype(np.uint8)
    of_three = encoder.features(np.repeat(gray, 3, axis=3))
    np.testing.assert_array_equal(encoder.features(gray), of_three)


def test_the_bundle_computes_what_the_host_computes(run, pictures, tmp_path):
    """The scripts of the bundle, with the runtime of this tree on the compiled part of another."""
    installed = importlib.util.find_spec("s2bnn_runtime")
    if installed is None or installed.origin is None:
        pytest.skip("the runtime is not installed")
    wheel = tmp_path / "s2bnn_runtime-0-py3-none-manylinux_2_17_aarch64.whl"
    wheel.write_bytes(b"only copied here")
    card = bundle(run, tmp_path / "device", target="linux-aarch64", wheel=wheel)
    assert card["input"]["shape"] == [1, *SHAPE]
    assert card["preprocessing"]["values"] == "gray, 0 to 255; normalized inside"
    library = Path(installed.origin).with_name("libs2bnn_delegate.so")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "runtime"),
        "S2BNN_LIBRARY": os.environ.get("S2BNN_LIBRARY", str(library)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }

    def script(name: str, *arguments: object) -> str:
        command = [sys.executable, str(tmp_path / "device" / name), *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    selftest = script("classify.py", "--selftest")
    assert json.loads(selftest.splitlines()[0])["cosine"] > 0.999
    script("embed.py", *pictures, "--output", "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        found = arrays["features"]
    assert cosines(found, s2bnn_tf.load(run).features(pictures)).min() > 0.999


def test_a_step_of_other_channels_is_refused(run, tmp_path):
    (tmp_path / "recipe.yaml").write_text(STUDENT)
    overrides = [
        f"teacher.weights={run.parent / 'teacher'}",
        f"student.init_from={run}",
        "data.channels=3",
    ]
    with pytest.raises(ConfigError, match=r"make them the same: --set data\.channels=1\."):
        pretrain(load_config(tmp_path / "recipe.yaml", overrides), tmp_path / "run")
    gray_teacher = [f"teacher.weights={run}", "data.channels=3"]
    with pytest.raises(ModelError, match="does not take images of 16x32 pixels in 3 channels"):
        pretrain(load_config(tmp_path / "recipe.yaml", gray_teacher), tmp_path / "run")


def test_a_size_that_the_encoder_does_not_have_is_refused(run):
    with pytest.raises(ModelError, match="of 16x32 pixels and cannot be converted for 32x16"):
        deployment_model(load_encoder(run), (32, 16))


@pytest.mark.parametrize(
    "name, options, size",
    [
        ("reactnet", {"stem": "small"}, (16, 64)),
        ("reactnet", {"stem": "imagenet"}, (96, 320)),
        ("reactnet", {"stem": "medium"}, (320, 63)),
        ("quicknet", {}, (8, 320)),
    ],
)
def test_a_rectangle_that_the_strides_do_not_fit_is_refused(name, options, size):
    with pytest.raises(ModelError, match=f"{size[0]}x{size[1]}"):
        build_backbone(name, (*size, 1), **options)


def test_digits_are_stretched_by_nothing():
    """The evaluation crop of a wide input cuts the top and the bottom of a square picture."""
    picture = open_source("digits", "test").read(0)
    wide = see(picture, (16, 32, 1), 1.0)[..., 0]
    np.testing.assert_array_equal(wide, picture[8:24, :, 0])
