"""`s2bnn-run enroll|classify|search|forget` on real pictures and a real converted network."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from commands import complain, say
from PIL import Image


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A small binary network with random weights, whose embeddings already differ by color."""
    import larq as lq
    import larq_compute_engine as lce
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    signs = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
    }
    model = tf.keras.Sequential(
        [
            tf.keras.Input((16, 16, 3), 1),
            tf.keras.layers.Rescaling(1 / 127.5, -1),
            tf.keras.layers.Conv2D(32, 3),
            lq.layers.QuantConv2D(32, 3, use_bias=False, **signs),
            tf.keras.layers.GlobalAveragePooling2D(),
        ]
    )
    path = tmp_path_factory.mktemp("few_shot") / "encoder.tflite"
    path.write_bytes(lce.convert_keras_model(model))
    path.with_suffix(".json").write_text(json.dumps({"center_crop": 1.0}))
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folders red, green and blue, with noisy pictures of that color."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (root / name).mkdir()
        for number in range(4):
            pixels = rng.integers(0, 90, (20, 24, 3))
            pixels[..., channel] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return root


def test_enrolled_colors_are_recognized(encoder, pictures, tmp_path, capsys):
    classes = tmp_path / "colors.npz"
    for name in ("red", "green", "blue"):
        enrolled = say(capsys, "enroll", encoder, classes, name, pictures / name / "0.png")
    assert enrolled.strip().endswith("red 1, green 1, blue 1")
    rest = [pictures / name / f"{n}.png" for name in ("red", "green", "blue") for n in (1, 2, 3)]
    found = json.loads(say(capsys, "classify", encoder, classes, *rest, "--json"))["images"]
    assert [row["class"] for row in found] == [path.parent.name for path in rest]
    said = say(capsys, "classify", encoder, classes, rest[0], "--threshold", "0.99999")
    assert "none of them" in said

    assert "green 1" not in say(capsys, "forget", classes, "green")
    found = json.loads(say(capsys, "classify", encoder, classes, pictures, "--json"))["images"]
    assert {row["class"] for row in found} == {"red", "blue"}


def test_search_finds_others_of_the_same_kind_and_never_the_query(
    encoder, pictures, tmp_path, capsys
):
    query = tmp_path / "link.png"
    query.symlink_to(pictures / "green" / "2.png")
    shutil.copy(query, tmp_path / "copy.png")  # another file of the same picture is an answer
    found = json.loads(
        say(capsys, "search", encoder, query, pictures, tmp_path, "--top-k", "4", "--json")
    )["found"]
    paths = [row["path"] for row in found]
    assert paths[0] == str(tmp_path / "copy.png")
    assert found[0]["score"] == pytest.approx(1, abs=1e-5)
    assert sorted(paths[1:]) == [str(pictures / "green" / f"{n}.png") for n in (0, 1, 3)]
    alone = complain(capsys, "search", encoder, query, pictures / "green" / "2.png")
    assert f"no picture but {query} itself" in alone


def test_each_mistake_is_one_sentence(encoder, pictures, tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "text.npz").write_text("no classes")
    picture = pictures / "red" / "0.png"
    classes = tmp_path / "new.npz"
    assert "text.jpg" in complain(capsys, "enroll", encoder, classes, "x", tmp_path / "text.jpg")
    assert "there is no picture in" in complain(
        capsys, "enroll", encoder, classes, "x", tmp_path / "nothing"
    )
    assert not classes.exists()
    assert "text.npz is damaged" in complain(
        capsys, "classify", encoder, tmp_path / "text.npz", picture
    )
    assert "new.npz does not exist" in complain(capsys, "classify", encoder, classes, picture)
    assert "no.tflite does not exist" in complain(
        capsys, "search", tmp_path / "no.tflite", picture, picture
    )
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere} does not exist" in complain(
        capsys, "enroll", encoder, nowhere / "new.npz", "x", picture
    )
