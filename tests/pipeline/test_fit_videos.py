"""A fit of videos, and one of gray arrays, to their ends."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image
from skimage import data

import s2bnn_tf
from s2bnn_tf.cli import main
from s2bnn_tf.data import open_source
from s2bnn_tf.layers import BinaryConv2D
from s2bnn_tf.pipeline import Options, run_fit
from s2bnn_tf.pipeline.given import write_images
from s2bnn_tf.pipeline.objects import take_objects
from s2bnn_tf.runs import RunDirectory

keras = tf.keras

TARGET = f"linux-{platform.machine()}"
SCENES = ("astronaut", "chelsea", "coffee", "rocket")
GRAY = ("camera", "coins", "moon", "page")


def write_scene(path: Path, image: np.ndarray, seconds: int) -> Path:
    """A camera that moves over a photograph and comes closer, at four frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 4, (112, 84))
    assert writer.isOpened()
    height, width = image.shape[:2]
    for step in np.linspace(0, 1, 4 * seconds):
        side = int(height * (0.6 - 0.3 * step))
        top = int((height - side) * (0.5 + 0.45 * np.sin(9 * step)))
        left = int((width - side) * step)
        part = image[top : top + side, left : left + side]
        writer.write(cv2.resize(part, (112, 84), interpolation=cv2.INTER_AREA)[..., ::-1])
    writer.release()
    return path


def network(height: int, width: int, channels: int) -> keras.Model:
    """A 1-bit network that takes almost no time."""
    image = keras.Input((height, width, channels))
    x = keras.layers.Conv2D(8, 3, strides=4, padding="same", use_bias=False)(image)
    x = BinaryConv2D(8, 3)(keras.layers.BatchNormalization()(x))
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def colors(images: np.ndarray) -> np.ndarray:
    return np.concatenate([images.mean((1, 2)), images.std((1, 2))], axis=1)


def fit(source, output: Path, student: keras.Model) -> dict:
    """What `s2bnn_tf.fit` does with a network and a function, but for timing steps."""
    objects = take_objects(student, colors, None, output)
    overrides = (*objects.overrides, "steps=30", "data.batch_size=8", "loggers=[]")
    given = (objects.teacher, "small", None, overrides, 0.2, TARGET, objects.names)
    return run_fit(source, output, Options(10.0, *given), timed=False)


@pytest.mark.slow
def test_a_fit_of_videos(tmp_path, monkeypatch):
    films, output = tmp_path / "films", tmp_path / "out"
    for name in SCENES:
        image = getattr(data, name)()
        for number in range(3):
            part = image[:, number * 60 : image.shape[1] - (2 - number) * 60]
            write_scene(films / name / f"{number}.mp4", part, 8 + number)
    result = fit(films, output, network(32, 32, 3))
    # No video has frames on both sides, and each class has one that is held out.
    spec = f"list:{output / 'images.tsv'}"
    train, test = (open_source(spec, split) for split in ("train", "test"))
    frames = [path for split in (train, test) for path in split.paths]
    assert all(path.is_relative_to(output / "frames") for path in frames), "kept with the fit"
    of = [
        {str(Path(split.identify(i)).parent) for i in range(len(split))} for split in (train, test)
    ]
    assert not of[0] & of[1] and len(of[0] | of[1]) == 12
    assert {Path(video).parent.name for video in of[1]} == set(SCENES)
    assert all(0 <= value <= 1 for value in result["knn"].values())

    with np.load(result["paths"]["features"]) as arrays:
        names, features = arrays["paths"].tolist(), arrays["features"]
    assert {str(Path(name).parent) for name in names} == of[0] | of[1]
    np.testing.assert_allclose(s2bnn_tf.load(output).features(names[:3]), features[:3], atol=1e-4)
    page = Path(result["paths"]["report"]).read_text("utf-8")
    assert "frames of 12 videos" in page or "pictures to learn from" in page
    assert page.count("<img ") >= 9

    # The converted file embeds the same frames from the command line.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clip = films / SCENES[0] / "1.mp4"
    arguments = ["embed", result["paths"]["model"], str(clip), str(films / SCENES[1])]
    done = CliRunner().invoke(main, [*arguments, "--output", str(tmp_path / "f.npz"), "--json"])
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "f.npz") as arrays:
        embedded = dict(zip(arrays["paths"].tolist(), arrays["features"]))
    wanted = [n for n in names if Path(n).parent == clip or Path(n).parts[-3] == SCENES[1]]
    assert sorted(embedded) == sorted(wanted)
    again = fit(films, output, network(32, 32, 3))
    assert again["knn"] == result["knn"]


@pytest.mark.slow
@pytest.mark.parametrize("axis", [(), (1,)])
def test_a_fit_of_gray_arrays(axis, tmp_path):
    """A one-channel student of rectangles, from an array to features of arrays."""
    rng, images = np.random.default_rng(0), []
    for name in GRAY:
        photograph = Image.fromarray(getattr(data, name)())
        for _ in range(10):
            side = int(rng.integers(60, 130))
            left, top = (int(rng.integers(0, length - side)) for length in photograph.size)
            crop = photograph.crop((left, top, left + side, top + side))
            images.append(np.asarray(crop.resize((60, 40))))
    array = np.stack(images).reshape(-1, 40, 60, *axis)
    output = tmp_path / "out"
    fit(write_images(array, tmp_path / "images"), output, network(32, 48, 1))
    encoder = s2bnn_tf.load(output)
    assert (encoder.image_size, encoder.channels) == ((32, 48), 1)
    assert "32x48 gray pixels" in repr(encoder)
    with np.load(output / "features.npz") as arrays:
        order = [int(Path(path).stem) for path in arrays["paths"]]
        np.testing.assert_allclose(encoder.features(array[order]), arrays["features"], atol=1e-4)
    assert encoder.embed(array[:2]).shape == (2, encoder.feature_dim)
    converted = s2bnn_tf.load(output / "student.tflite")
    assert (converted.embed(array) * encoder.embed(array)).sum(axis=1).min() > 0.99
    card = json.loads((output / "student.json").read_text())
    assert card["input"]["shape"][1:] == [32, 48, 1]
    assert RunDirectory(output).config.data.channels == 1
    page = (output / "report.html").read_text("utf-8")
    assert page.count("<img ") >= 9
