"""Two teachers beside each other, and a converted file as one of them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.data import normalize, open_source
from s2bnn_tf.errors import UserError
from s2bnn_tf.runs import load_encoder
from s2bnn_tf.teachers import load_teacher, targets_of_file, teacher_space, width_of_file
from s2bnn_tf.tflite import TFLiteEncoder, read_graph

keras = tf.keras

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


def test_two_teachers_have_no_space_that_words_or_files_could_share():
    assert teacher_space(TeacherConfig(weights=RUN)) is not None
    assert teacher_space(TeacherConfig(weights=RUN, beside=FILE)) is None


def test_nothing_is_beside_a_file_of_features(tmp_path):
    path = tmp_path / "features.npz"
    np.savez(path, features=np.ones((1000, 8), np.float32))
    teacher = TeacherConfig(weights=str(path), output="features", beside=FILE)
    for read in (width_of_file, lambda t: targets_of_file(t, open_source("digits", "train"))):
        with pytest.raises(UserError, match=r"^teacher\.beside: .*features\.npz holds features"):
            read(teacher)


def test_two_teachers_of_half_precision_are_put_together_in_full(pictures):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        both = load_teacher(TeacherConfig(weights=RUN, beside=FILE), image_size=SIZE)
    finally:
        keras.mixed_precision.set_global_policy(before)
    rows = both(normalize(pictures)).numpy()
    first = rows[:, : load_teacher(TeacherConfig(weights=RUN), image_size=SIZE).embedding_dim]
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 0.5**0.5, atol=1e-6)


def test_a_file_that_claims_more_channels_than_it_holds_takes_no_memory(tmp_path):
    last = read_graph(FILE).binary_convolutions()[-1].outputs[0]
    shape = read_graph(FILE).tensors[last].shape
    data = Path(FILE).read_bytes()
    larger = data.replace(struct.pack("<4i", *shape), struct.pack("<4i", *shape[:3], 2**12))
    (tmp_path / "larger.tflite").write_bytes(larger)
    with pytest.raises(UserError, match=r"larger\.tflite is not a 1-bit network"):
        load_teacher(TeacherConfig(weights=str(tmp_path / "larger.tflite")), image_size=SIZE)


def test_what_is_wrong_with_a_file_is_said_of_the_teacher(tmp_path):
    other = Path(FILE).read_bytes().replace(b"LceQuantize", b"LceQuantizx")
    (tmp_path / "other.tflite").write_bytes(other)
    with pytest.raises(UserError, match=r"^teacher\.weights: .*other\.tflite"):
        load_teacher(TeacherConfig(weights=str(tmp_path / "other.tflite")), image_size=SIZE)


def test_a_file_that_is_no_binary_network_of_ours_is_no_teacher(tmp_path):
    unnamed = Path(FILE).read_bytes().replace(b"deployed/", b"somebody/")
    (tmp_path / "unnamed.tflite").write_bytes(unnamed)
    with pytest.raises(UserError, match="not a 1-bit network that `s2bnn convert` has made"):
        load_teacher(TeacherConfig(weights=str(tmp_path / "unnamed.tflite")), image_size=SIZE)
