"""Two teachers beside each other, and a converted file as one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.data import normalize
from s2bnn_tf.errors import UserError
from s2bnn_tf.runs import load_encoder
from s2bnn_tf.teachers import load_teacher
from s2bnn_tf.tflite import TFLiteEncoder

DATA = Path(__file__).parents[1] / "compat" / "data" / "0.1.0"
RUN, FILE = str(DATA / "teacher"), str(DATA / "student.tflite")
SIZE = 32


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (16, SIZE, SIZE, 3)).astype(np.float32)


def units(rows) -> np.ndarray:
    return np.asarray(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_converted_file_is_a_teacher_with_its_features(pictures):
    teacher = load_teacher(TeacherConfig(weights=FILE), image_size=SIZE)
    theirs = units(TFLiteEncoder(FILE, "lce").features(pictures))
    errors = np.abs(teacher(normalize(pictures)) - theirs).max(axis=1)
    assert np.mean(errors < 1e-4) >= 0.8  # a sign at its threshold may flip
    assert not teacher.trainable_weights


def test_both_teachers_count_alike(pictures):
    both = load_teacher(TeacherConfig(weights=RUN, output="features", beside=FILE), image_size=SIZE)
    views = normalize(pictures)
    own = load_encoder(RUN, image_size=SIZE).backbone(views)
    file = load_teacher(TeacherConfig(weights=FILE), image_size=SIZE)(views)
    wanted = np.concatenate([units(own), file], axis=1) / np.sqrt(2)
    np.testing.assert_allclose(both(views), wanted, atol=1e-6)
    assert both.embedding_dim == wanted.shape[1] and not both.trainable_weights


def test_the_starter_takes_small_and_gray_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path))
    for size, channels in ((32, 3), (64, 1), ((96, 64), 3)):
        teacher = load_teacher(TeacherConfig(weights="starter"), image_size=size, channels=channels)
        shape = (2, *(size if isinstance(size, tuple) else (size, size)), channels)
        assert teacher(np.zeros(shape, np.float32)).shape == (2, 256)


@pytest.mark.parametrize("name", ["absent", "absent.tflite", "absent.onnx"])
def test_a_second_teacher_that_is_not_there_is_named(name):
    with pytest.raises(UserError, match=f"{name}") as raised:
        load_teacher(TeacherConfig(weights=RUN, beside=name), image_size=SIZE)
    assert "teacher.weights" not in str(raised.value)


def test_a_file_that_is_no_binary_network_of_ours_is_no_teacher(tmp_path):
    unnamed = Path(FILE).read_bytes().replace(b"deployed/", b"somebody/")
    (tmp_path / "unnamed.tflite").write_bytes(unnamed)
    with pytest.raises(UserError, match="not a 1-bit network that `s2bnn convert` has made"):
        load_teacher(TeacherConfig(weights=str(tmp_path / "unnamed.tflite")), image_size=SIZE)
