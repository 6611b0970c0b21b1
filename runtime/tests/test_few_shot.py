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
    found = lines(say(capsys, "classify", encoder, classes, *rest, "--json"))
    assert [row["class"] for row in found] == [path.parent.name for path in rest]
    assert [row["path"] for row in found] == [str(path) for path in rest]
    assert "Nothing is rejected" in say(capsys, "classify", encoder, classes, *rest)
    said = say(capsys, "classify", encoder, classes, rest[0], "--threshold", "0.99999")
    assert "none of them" in said

    assert "green 1" not in say(capsys, "forget", classes, "green")
    found = lines(say(capsys, "classify", encoder, classes, pictures, "--json"))
    assert {row["class"] for row in found} == {"red", "blue"}
    for name in ("red", "blue"):
        say(capsys, "forget", classes, name)
    for verb in (["classify", encoder, classes, pictures], ["enroll", encoder, classes, "--audit"]):
        assert f"{classes} holds no class; add one with" in complain(capsys, *verb)


def test_search_finds_others_of_the_same_kind_and_never_the_query(
    encoder, pictures, tmp_path, capsys
):
    query = tmp_path / "link.png"
    query.symlink_to(pictures / "green" / "2.png")
    shutil.copy(query, tmp_path / "copy.png")  # another file of the same picture is an answer
    found = lines(
        say(capsys, "search", encoder, query, pictures, tmp_path, "--top-k", "4", "--json")
    )
    paths = [row["path"] for row in found]
    assert paths[0] == str(tmp_path / "copy.png")
    assert found[0]["score"] == pytest.approx(1, abs=1e-5)
    assert sorted(paths[1:]) == [str(pictures / "green" / f"{n}.png") for n in (0, 1, 3)]
    alone = complain(capsys, "search", encoder, query, pictures / "green" / "2.png")
    assert f"no picture but {query} itself" in alone


def test_classify_rejects_at_a_rate_what_no_class_looks_like(encoder, tmp_path, capsys):
    rng = np.random.default_rng(0)

    def draw(name, channel, count):
        """Noise of one color; of none with a channel of None."""
        (tmp_path / name).mkdir()
        for number in range(count):
            pixels = rng.integers(0, 90, (20, 24, 3))
            pixels[..., channel if channel is not None else slice(None)] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / f"{number}.png")
        return tmp_path / name

    classes = tmp_path / "classes.npz"
    for channel, name in enumerate(("red", "green")):
        say(capsys, "enroll", encoder, classes, name, draw(name, channel, 8))
    known = [draw("more red", 0, 20), draw("more green", 1, 20)]
    found = lines(say(capsys, "classify", encoder, classes, *known, "--json"))
    assert sum(row["class"] is None for row in found) <= 5  # 2 are expected
    assert {row["false_alarms"] for row in found} == {0.05}
    assert all((row["score"] >= row["threshold"]) == (row["class"] is not None) for row in found)
    unknown = [draw("gray", None, 10), draw("blue", 2, 10)]
    found = lines(say(capsys, "classify", encoder, classes, *unknown, "--json"))
    assert {row["class"] for row in found} == {None}
    said = say(capsys, "classify", encoder, classes, *unknown)
    assert said.splitlines()[0] == (
        "A picture is rejected if it is less similar to its nearest class than 95 % of further "
        "pictures of that class are expected to be."
    )
    tenth = say(capsys, "classify", encoder, classes, *unknown, "--false-alarms", "0.1")
    assert "than 90 % of further pictures" in tenth
    assert said.count("none of them (nearest: ") == 20
    everything = say(capsys, "classify", encoder, classes, *unknown, "--threshold", "-1")
    assert "none of them" not in everything


def test_another_models_classes_are_refused(encoder, pictures, tmp_path, capsys):
    classes, other = tmp_path / "colors.npz", tmp_path / "other.tflite"
    say(capsys, "enroll", encoder, classes, "red", pictures / "red")
    before = classes.read_bytes()
    other.write_bytes(encoder.read_bytes() + bytes(4))  # the same network in another file
    for verb in (["enroll", other, classes, "x"], ["classify", other, classes]):
        assert "with another model" in complain(capsys, *verb, pictures / "red" / "0.png")
    assert classes.read_bytes() == before
    space = {"space": "a teacher's", "center_crop": 1.0}
    for model in (encoder, other):  # two models whose cards say that they share a space
        copy = tmp_path / f"shared-{model.name}"
        copy.write_bytes(model.read_bytes())
        copy.with_suffix(".json").write_text(json.dumps(space))
        say(capsys, "enroll", copy, tmp_path / "shared.npz", "red", pictures / "red")


def lines(text: str) -> list[dict]:
    """The objects of a verb's `--json`, one a line."""
    return [json.loads(line) for line in text.splitlines()]


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
