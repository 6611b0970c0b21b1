"""`s2bnn-run MODEL IMAGES...` on real pictures and models: scores, speed, and mistakes in one
sentence each.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import complain, say
from PIL import Image
from tensorflow.lite.python import schema_py_generated as schema
from test_float_steps import Network

from s2bnn_runtime import Interpreter
from s2bnn_runtime.cli import main
from s2bnn_runtime.errors import S2bnnError
from s2bnn_runtime.files import write_arrays

COLOR = (200, 100, 50)
CLASSES = 7


def small_model(path: Path, channels: int) -> Path:
    network = Network((1, 12, 8, channels))
    y = network.bconv(network.conv(network.x, 32, (3, 3), (2, 2), "SAME"), CLASSES)
    axes = network.constant(np.array([1, 2], np.int32))
    scores = network.op("MEAN", [y[0], axes], (1, CLASSES), schema.ReducerOptionsT())
    path.write_bytes(network.build([network.x[0]], [scores[0]]))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("cli") / "model.tflite", 3)


@pytest.fixture
def pictures(tmp_path):
    """A folder with a JPEG and a transparent PNG of one color, and a file that is not a picture."""
    Image.new("RGB", (300, 200), COLOR).save(tmp_path / "a.jpg", quality=100, subsampling=0)
    Image.new("RGBA", (30, 50), (*COLOR, 255)).save(tmp_path / "b.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


@pytest.mark.parametrize(
    "preprocessing, prepare",
    [
        ("raw", lambda rgb: rgb),
        ("symmetric", lambda rgb: rgb / 127.5 - 1),
        ("imagenet", lambda rgb: (rgb / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
    ],
)
def test_scores_of_a_folder(model, pictures, capsys, preprocessing, prepare):
    labels = pictures / "labels.txt"
    labels.write_text("".join(f"class {i}\n" for i in range(CLASSES)))
    arguments = ["--labels", labels, "--top-k", 3, "--preprocessing", preprocessing, "--json"]
    result = json.loads(say(capsys, model, pictures, *arguments).splitlines()[-1])
    assert [image["path"] for image in result["images"]] == [
        str(pictures / "a.jpg"),
        str(pictures / "b.png"),
    ]
    pixels = np.broadcast_to(prepare(np.array(COLOR, float)), (1, 12, 8, 3)).astype(np.float32)
    (wanted,) = Interpreter(model).predict(pixels)
    best = np.argsort(-wanted, kind="stable")[:3]
    for entry, index in zip(result["images"][1]["top"], best):
        assert entry == {
            "class": index,
            "label": f"class {index}",
            "score": pytest.approx(float(wanted[index])),
        }


@pytest.mark.parametrize(
    "preprocessing, prepare",
    [("raw", lambda luma: luma), ("imagenet", lambda luma: (luma / 255 - 0.449) / 0.226)],
)
def test_a_model_of_one_channel_sees_gray(tmp_path, pictures, capsys, preprocessing, prepare):
    model = small_model(tmp_path / "gray.tflite", 1)
    arguments = [pictures / "b.png", "--preprocessing", preprocessing, "--json"]
    result = json.loads(say(capsys, model, *arguments).splitlines()[-1])
    luma = np.array(Image.new("RGB", (1, 1), COLOR).convert("L"), float)
    pixels = np.broadcast_to(prepare(luma), (1, 12, 8, 1)).astype(np.float32)
    (wanted,) = Interpreter(model).predict(pixels)
    best = result["images"][0]["top"][0]
    assert best["class"] == wanted.argmax()
    assert best["score"] == pytest.approx(float(wanted.max()))


def test_text_names_the_picture_and_its_best_class(model, pictures, capsys):
    lines = say(capsys, model, pictures / "b.png", "--top-k", 2).splitlines()
    assert str(model) in lines[0]
    assert lines[1] == str(pictures / "b.png")
    assert len(lines) == 4
    assert float(lines[2].split()[0]) >= float(lines[3].split()[0])


def test_benchmark_and_profile(model, capsys):
    result = json.loads(
        say(capsys, model, "--profile", "--runs", 2, "--threads", 2, "--json").splitlines()[-1]
    )
    assert result["threads"] == 2
    assert result["benchmark"]["runs"] == 2
    assert result["machine"]["cpus"] >= 1
    assert (
        result["benchmark"]["min_ms"]
        <= result["benchmark"]["median_ms"]
        <= result["benchmark"]["max_ms"]
    )
    (steps,) = result["profile"]
    assert sum(step["binary_macs"] for step in steps) == 9 * 32 * CLASSES * 6 * 4
    assert "LceBconv2d" in say(capsys, model, "--profile", "--runs", 1)


def test_wrong_models(model, pictures, capsys):
    picture, missing = pictures / "b.png", pictures / "no.tflite"
    assert f"{missing} does not exist" in complain(capsys, missing, picture)
    assert "is a folder" in complain(capsys, pictures, picture)
    assert "b.png cannot be run: it is not a TFLite model" in complain(capsys, picture, picture)
    damaged = pictures / "damaged.tflite"
    damaged.write_bytes(model.read_bytes().replace(b"stride_width", b"stride_wrong"))
    assert "damaged.tflite cannot be run: " in complain(capsys, damaged, picture)
    assert "nothing to do" in complain(capsys, model)


def test_wrong_pictures_do_not_stop_the_others(model, pictures, capsys):
    cut = pictures / "cut.jpg"
    cut.write_bytes((pictures / "a.jpg").read_bytes()[:700])
    wrong = {
        pictures / "no.png": "no.png cannot be read (no such file); name a picture's file",
        pictures / "notes.txt": "notes.txt cannot be read (not an image)",
        cut: "cut.jpg cannot be read (",
    }
    arguments = [str(path) for path in (model, *wrong, pictures / "b.png", "--json")]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    *images, good = json.loads(printed.out.splitlines()[-1])["images"]
    assert len(good["top"]) == 5
    for (path, reason), image in zip(wrong.items(), images):
        assert image["path"] == str(path)
        assert reason in image["error"]
        assert f"s2bnn-run: {image['error']}\n" in printed.err
    assert main(arguments[:-1]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert str(pictures / "b.png") in lines
    assert not {str(path) for path in wrong} & set(lines)


def test_folder_without_pictures(model, tmp_path, capsys):
    assert "there is no picture in" in complain(capsys, model, tmp_path)


def test_wrong_labels(model, pictures, capsys):
    labels, picture = pictures / "labels.txt", pictures / "b.png"
    assert "labels.txt does not exist" in complain(capsys, model, picture, "--labels", labels)
    for count in (CLASSES - 1, CLASSES + 1):
        labels.write_text("label\n" * count)
        said = complain(capsys, model, picture, "--labels", labels)
        assert f"labels.txt has {count} lines, the model {CLASSES} classes" in said
    labels.write_bytes(b"\xff\xfe\x00")
    assert "labels.txt is not a text file" in complain(capsys, model, picture, "--labels", labels)


@pytest.mark.parametrize("option", ["--top-k", "--threads", "--runs"])
@pytest.mark.parametrize("value", ["0", "-3", "x"])
def test_numbers_below_one(model, capsys, option, value):
    with pytest.raises(SystemExit, match="2"):
        main([str(model), "--benchmark", option, value])
    assert f"{option}: a whole number of at least 1 is needed" in capsys.readouterr().err


def test_paths_that_cannot_be_used_are_named_as_they_were_given(model, tmp_path, capsys):
    long = tmp_path / f"{'a' * 300}.npz"
    assert complain(capsys, "index", model, tmp_path, long).endswith(": File name too long")
    folder = tmp_path / "folder.npz"
    folder.mkdir()
    with pytest.raises(S2bnnError, match=f"^{folder} is a folder"):
        write_arrays(folder, {"a": np.zeros(3)})
    assert list(tmp_path.iterdir()) == [folder]


def test_a_verb_that_is_misspelt_is_offered(model, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = complain(capsys, "enrol", model, "classes.npz", "--audit")
    assert said == "s2bnn-run: there is no verb 'enrol'; did you mean enroll?"
    shutil.copy(model, "enrol")  # a model may have any name
    assert "median" in say(capsys, "enrol", "--benchmark", "--runs", 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_output_to_a_full_disk_is_one_sentence(model, pictures):
    command = [sys.executable, "-c", "import sys; from s2bnn_runtime.cli import main; main()"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [*command, str(model), str(pictures / "b.png")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    sentences = [line for line in ended.stderr.splitlines() if line.startswith("s2bnn-run: ")]
    assert sentences == ["s2bnn-run: the output cannot be written (No space left on device)"]
    assert "Traceback" not in ended.stderr and "ignored" not in ended.stderr


def test_a_name_of_two_lines_is_printed_on_one(model, pictures, tmp_path, capsys):
    folder = tmp_path / "named"
    folder.mkdir()
    shutil.copy(pictures / "b.png", folder / "a\n 0.99  forged.png")
    printed = say(capsys, model, folder, "--top-k", 1)
    assert len(printed.splitlines()) == 3
    assert "a\\n 0.99  forged.png" in printed


def test_numbers_that_are_not_finite_are_never_printed(tmp_path, pictures, capsys):
    """As of a model whose weights are damaged: every verb says so, and keeps what was there."""
    network = Network((1, 12, 8, 3))
    y = network.bconv(network.conv(network.x, 32, (3, 3), (2, 2), "SAME"), CLASSES)
    axes = network.constant(np.array([1, 2], np.int32))
    scores = network.op("MEAN", [y[0], axes], (1, CLASSES), schema.ReducerOptionsT())
    wrong = network.add(scores, (network.constant(np.full((1, CLASSES), np.nan, np.float32)),))
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(network.build([network.x[0]], [wrong[0]]))
    picture, output = pictures / "b.png", tmp_path / "output.npz"
    said = f"{picture} gives numbers that are not finite; convert "
    assert main([str(damaged), str(picture), "--json"]) == 1
    assert said in capsys.readouterr().err
    for verb in (["enroll", damaged, output, "x"], ["normal", damaged, output]):
        assert said in complain(capsys, *verb, picture)
    assert said in complain(capsys, "search", damaged, picture, pictures / "a.jpg")
    assert not output.exists()
