"""`s2bnn-run normal|inspect` on real pictures and a real converted network with a map."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import complain, say
from PIL import Image
from test_few_shot import lines

from s2bnn_runtime import Interpreter
from s2bnn_runtime.embedder import Embedder

SIZE = 32


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A binary network with random weights, which returns features, a map, or both."""
    import larq as lq
    import larq_compute_engine as lce
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    signs = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
    }
    image = tf.keras.Input((SIZE, SIZE, 3), 1)
    x = tf.keras.layers.Rescaling(1 / 127.5, -1)(image)
    x = tf.keras.layers.Conv2D(32, 3, 2, "same")(x)
    x = lq.layers.QuantConv2D(32, 3, 2, "same", pad_values=1, use_bias=False, **signs)(x)
    places = tf.keras.layers.Add()([x / 32, tf.keras.layers.Conv2D(32, 4, 4)(image / 255)])
    features = tf.keras.layers.GlobalAveragePooling2D()(places)
    root = tmp_path_factory.mktemp("models")
    outputs = {"features": features, "map": places, "both": [features, places]}
    found = {}
    for name, output in outputs.items():
        found[name] = root / f"{name}.tflite"
        found[name].write_bytes(lce.convert_keras_model(tf.keras.Model(image, output)))
    return found


def draw(folder, count, seed, defect=False):
    """Pictures of stripes and noise, 96 by 64; with a red spot below and to the right if asked."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        rows = 30 * np.sin(np.arange(64) / 4 + rng.uniform(0, 0.5))[:, np.newaxis, np.newaxis]
        pixels = 140 + rows + rng.normal(0, 3, (64, 96, 3)) + rng.normal(0, 2)
        if defect:
            pixels[36:60, 64:88] = (250, 10, 10)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    return {
        "good": draw(root / "good", 40, 1),
        "fresh": draw(root / "fresh", 40, 2),
        "bad": draw(root / "bad", 5, 3, defect=True),
    }


def test_two_outputs_are_two_arrays_and_the_features_the_mean_of_the_map(models, folders):
    picture = folders["good"] / "000.png"
    both, map_, features = (Embedder(models[name]) for name in ("both", "map", "features"))
    assert (both.has_map, map_.has_map, features.has_map) == (True, True, False)
    shapes = [
        np.shape(y) for y in Interpreter(models["both"]).predict(np.zeros((1, SIZE, SIZE, 3)))
    ]
    assert sorted(shapes) == [(1, 8, 8, 32), (1, 32)] or sorted(shapes) == [(1, 32), (1, 8, 8, 32)]
    np.testing.assert_array_equal(both.see(picture).maps, map_.see(picture).maps)
    for one in (both, map_):
        np.testing.assert_allclose(
            one.see(picture).features, features.see(picture).features, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("both", []),
        ("map", ["--tiles", 2]),
        ("features", ["--tiles", 2]),
        ("both", ["--roi", "48,32,48,32", "--method", "gaussian"]),
    ],
)
def test_what_is_unusual_is_found_and_shown(model, options, models, folders, tmp_path, capsys):
    model, normal = models[model], tmp_path / "normal.npz"
    (said,) = lines(say(capsys, "normal", model, normal, folders["good"], *options, "--json"))
    assert (said["pictures"], said["different"], said["false_alarms"]) == (40, 40, 0.01)
    arguments = ["inspect", model, normal, folders["fresh"], folders["bad"], "--json"]
    found = lines(say(capsys, *arguments))
    assert all(row["unusual"] == (row["score"] > row["threshold"]) for row in found)
    assert sum(row["unusual"] for row in found[:40]) <= 3
    assert all(row["unusual"] for row in found[40:])
    assert {row["threshold"] for row in found} == {said["threshold"]}
    assert all(row["milliseconds"] > 0 for row in found)

    alone = lines(say(capsys, "inspect", model, normal, folders["bad"] / "004.png", "--json"))
    assert alone[0]["score"] == pytest.approx(found[-1]["score"], rel=1e-3)  # after 44 others
    text = say(capsys, *arguments[:-1]).splitlines()
    assert text[-1].split()[1:] == ["UNUSUAL", str(folders["bad"] / "004.png")]
    if "gaussian" in options:
        refused = complain(capsys, *arguments, "--heatmap", tmp_path / "where")
        assert "for --heatmap, learn with --method patches or with --tiles" in refused
        return
    found = lines(say(capsys, *arguments, "--heatmap", tmp_path / "where"))
    assert len({row["heatmap"] for row in found}) == 45  # though two folders have equal names
    shown = np.asarray(Image.open(found[-1]["heatmap"])).astype(int)
    redness = shown[..., 0] - shown[..., 1]
    column = redness.sum(axis=0).argmax() / shown.shape[1]
    row = redness.sum(axis=1).argmax() / shown.shape[0]
    assert column > 0.5 and row > 0.5
    calm = np.asarray(Image.open(found[0]["heatmap"])).astype(int)
    assert (calm[..., 0] - calm[..., 1]).max() < redness.max()


def test_more_false_alarms_are_a_lower_threshold(models, folders, tmp_path, capsys):
    found = [
        lines(
            say(
                capsys,
                *("normal", models["features"], tmp_path / "normal.npz", folders["good"]),
                *("--false-alarms", rate, "--json"),
            )
        )[0]["threshold"]
        for rate in (0.001, 0.01, 0.2)
    ]
    assert found == sorted(found, reverse=True) and len(set(found)) == 3
    said = say(capsys, "normal", models["features"], tmp_path / "normal.npz", folders["good"])
    assert "1 % false alarms" in said and "From 100 on they do." in said


def test_each_mistake_is_one_sentence_and_keeps_the_file(models, folders, tmp_path, capsys):
    model, normal = models["both"], tmp_path / "normal.npz"
    say(capsys, "normal", model, normal, folders["good"], "--tiles", 2)
    before = normal.read_bytes()
    bad = folders["bad"]
    single = folders["good"] / "000.png"
    too_few = complain(capsys, "normal", model, normal, single)
    assert "one normal picture is too few" in too_few
    same = complain(capsys, "normal", model, normal, *[single] * 20)
    assert "20 normal pictures with only 1 that differ are too few" in same
    nine = complain(capsys, "normal", model, normal, *[single] * 9, folders["good"] / "001.png")
    assert "10 normal pictures with only 2 that differ are too few" in nine
    for color in range(4):
        Image.new("RGB", (40, 40), (color, 90, 200)).save(tmp_path / f"plain-{color}.png")
    say(capsys, "normal", model, normal, *sorted(tmp_path.glob("plain-*.png")))
    plain = lines(say(capsys, "inspect", model, normal, tmp_path / "plain-0.png", bad, "--json"))
    assert [row["unusual"] for row in plain] == [False] + [True] * len(plain[1:])
    normal.write_bytes(before)
    assert "with another model" in complain(capsys, "inspect", models["map"], normal, bad)
    assert "learned with --tiles 2, not 3" in complain(
        capsys, "inspect", model, normal, bad, "--tiles", 3
    )
    assert "learned with --roi none, not 1,2,3,4" in complain(
        capsys, "inspect", model, normal, bad, "--roi", "1,2,3,4"
    )
    assert "no map of places; convert it with --head features+map" in complain(
        capsys, "normal", models["features"], normal, bad, "--method", "patches"
    )
    classes = tmp_path / "classes.npz"
    say(capsys, "enroll", model, classes, "x", single)
    assert "classes.npz does not hold what is normal" in complain(
        capsys, "inspect", model, classes, bad
    )
    beyond = complain(capsys, "normal", model, normal, single, "--roi", "0,0,97,64")
    assert "has 96x64 pixels, and the region 0,0,97,64 reaches beyond them" in beyond
    assert normal.read_bytes() == before


def test_a_picture_that_cannot_be_read_does_not_stop_the_others(models, folders, tmp_path, capsys):
    from s2bnn_runtime.cli import main

    (tmp_path / "broken.png").write_text("no picture")
    normal = tmp_path / "normal.npz"
    arguments = [models["both"], normal, tmp_path / "broken.png", folders["good"]]
    for verb in ("normal", "inspect"):
        assert main([verb, *map(str, arguments), "--json"]) == 1
        printed = capsys.readouterr()
        found = [json.loads(line) for line in printed.out.splitlines()]
        assert found[0]["path"] == str(tmp_path / "broken.png") and "error" in found[0]
        assert printed.err.count("broken.png cannot be read (not an image)") == 1
        assert len(found) == (2 if verb == "normal" else 41)
