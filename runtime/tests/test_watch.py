"""`s2bnn-run classify|inspect --watch`: pictures as they arrive, and verdicts over time."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import complain, say
from PIL import Image
from tensorflow.lite.python import schema_py_generated as schema
from test_few_shot import lines
from test_float_steps import Network

from s2bnn_runtime import S2bnnError
from s2bnn_runtime.verbs import make_parser, run_verb
from s2bnn_runtime.verdicts import Agreement, Verdicts, read_agreement
from s2bnn_runtime.watching import Watch

COLORS = {"red": (200, 40, 40), "blue": (40, 40, 200), "green": (40, 200, 40)}


def paint(path: Path, color: str, seed: int) -> Path:
    """A noisy picture of one color, which comes into its folder whole."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(COLORS[color] + rng.normal(0, 12, (40, 40, 3)), 0, 255)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path.with_suffix(".part"), "PNG")
    path.with_suffix(".part").rename(path)
    return path


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """An encoder whose embedding is the mean color, classes red and blue, and red as normal."""
    from s2bnn_runtime.cli import main

    root = tmp_path_factory.mktemp("learned")
    network = Network((1, 8, 8, 3))
    axes = network.constant(np.array([1, 2], np.int32))
    mean = network.op("MEAN", [network.x[0], axes], (1, 3), schema.ReducerOptionsT())
    (root / "color.tflite").write_bytes(network.build([network.x[0]], [mean[0]]))
    model = str(root / "color.tflite")
    for color in ("red", "blue"):
        for seed in range(12):
            paint(root / color / f"{seed}.png", color, seed)
        assert main(["enroll", model, str(root / "classes.npz"), color, str(root / color)]) == 0
    assert main(["normal", model, str(root / "normal.npz"), str(root / "red")]) == 0
    return root


def looks(folder: Path, *steps) -> list[list[str]]:
    """The names of the pictures that have arrived after each step, at looks without pauses."""
    seen: list[list[str]] = [[]]
    coming = iter(steps)

    def pause(seconds: float) -> None:
        assert seconds >= 0.2
        step = next(coming, None)
        if step is None:
            raise StopIteration
        seen.append([])
        step()

    try:
        for path in Watch(folder, pause):
            seen[-1].append(path.name)
    except RuntimeError:  # StopIteration inside of a generator
        pass
    return seen[1:]


def test_a_picture_counts_once_and_when_it_is_complete(tmp_path):
    (tmp_path / "before.jpg").write_bytes(b"12")
    growing, again = tmp_path / "a.jpg", tmp_path / "before.jpg"

    def nothing():
        pass

    def write(path, content, second):
        path.write_bytes(content)
        os.utime(path, (second, second))

    def both():
        (tmp_path / "below").mkdir()
        write(tmp_path / "below" / "first.png", b"1", 1)
        write(tmp_path / "then.png", b"1", 2)
        write(tmp_path / ".hidden.png", b"1", 1)
        write(tmp_path / "notes.txt", b"1", 1)

    assert looks(
        tmp_path,
        nothing,
        lambda: write(growing, b"", 1),  # empty files are not complete
        nothing,
        nothing,
        lambda: write(growing, b"1", 1),
        lambda: write(growing, b"12", 1),
        lambda: write(growing, b"12", 2),  # of equal size, and still written
        nothing,
        nothing,
        lambda: write(again, b"21", 3),
        nothing,
        nothing,
        both,
        nothing,
        growing.unlink,
        lambda: write(growing, b"new", 5),
        nothing,
        nothing,
    ) == [
        *([[]] * 7),
        ["a.jpg"],
        *([[]] * 2),
        ["before.jpg"],
        *([[]] * 2),
        ["first.png", "then.png"],  # in the order of their times
        *([[]] * 2),
        ["a.jpg"],
        [],
    ]


def test_a_verdict_stays_until_enough_results_agree_on_another():
    verdicts = Verdicts(Agreement(3, 5))
    found = [verdicts.add(result) for result in "aabababbbb"]
    assert "".join(verdict.result or "-" for verdict in found) == "---aaabbbb"
    assert [verdict.settled for verdict in found] == [False] * 3 + [True] * 7
    none = Verdicts(Agreement(2, 2))
    assert [tuple(none.add(None)) for _ in range(2)] == [(None, False), (None, True)]


@pytest.mark.parametrize("text", ["3", "2/4", "0/1", "4/3", "-3/5", "3/5/7", "x/y", "999/1001", ""])
def test_an_agreement_is_more_than_half(text):
    assert read_agreement("3/5") == (3, 5)
    with pytest.raises(argparse.ArgumentTypeError, match="such as 3/5"):
        read_agreement(text)


def test_pictures_are_classified_as_they_arrive(learned, tmp_path, capsys):
    folder = tmp_path / "camera"
    paint(folder / "old.png", "red", 0)
    arguments = [
        "classify",
        learned / "color.tflite",
        learned / "classes.npz",
        "--watch",
        folder,
        "--agree",
        "2/3",
    ]
    rows = run_verb(make_parser().parse_args([*map(str, arguments), "--json"]))
    assert next(rows).record is None
    found = []
    for number, color in enumerate(("red", "red", "blue", "red", "blue", "blue", "green")):
        path = paint(folder / f"{number}.png", color, 100 + number)
        row = next(rows)
        assert row.record["path"] == str(path)
        found.append(row.record)
        assert 0 < row.record["milliseconds"]
        if number:
            assert row.text.endswith(f"-> {row.record['verdict']}")
    assert [row["class"] for row in found] == ["red", "red", "blue", "red", "blue", "blue", None]
    assert [row["verdict"] for row in found] == [None, "red", "red", "red", "blue", "blue", "blue"]
    assert [row["settled"] for row in found] == [False] + [True] * 6
    (folder / "broken.png").write_text("no picture")
    assert "broken.png cannot be read" in next(rows).record["error"]
    Image.new("RGB", (20, 20)).save(folder / "black.png")  # whose embedding is zero
    assert "black.png shows nothing" in next(rows).record["error"]
    shutil.rmtree(folder)
    with pytest.raises(S2bnnError, match="camera has vanished; connect it again"):
        next(rows)


def test_pictures_are_inspected_as_they_arrive(learned, tmp_path, capsys):
    folder, where = tmp_path / "camera", tmp_path / "where"
    folder.mkdir()
    normal = tmp_path / "tiles.npz"
    say(capsys, "normal", learned / "color.tflite", normal, learned / "red", "--tiles", 2)
    arguments = [
        "inspect",
        learned / "color.tflite",
        normal,
        learned / "red" / "0.png",
        "--watch",
        folder,
    ]
    inspect = make_parser().parse_args([*map(str, arguments), "--heatmap", str(where)])
    rows = run_verb(inspect)
    assert next(rows).record["path"] == str(learned / "red" / "0.png")  # those that are named first
    for seed in (1, 2):  # a camera that overwrites its last picture
        paint(folder / "0.png", "blue", seed)
        row = next(rows).record
        assert (row["path"], row["unusual"]) == (str(folder / "0.png"), True)
        assert Path(row["heatmap"]).name == "0.png-2.png"
    rows.close()
    assert len(list(where.iterdir())) == 2


def test_a_second_threshold_must_be_passed_to_recover(learned, capsys):
    from s2bnn_runtime.normal import Normal
    from s2bnn_runtime.thresholds import choose_threshold

    normal = Normal.load(learned / "normal.npz")
    lower = choose_threshold(normal.held_out, 0.3)
    assert lower < normal.threshold
    red, blue = learned / "red" / "0.png", learned / "blue" / "0.png"
    arguments = [
        "inspect",
        learned / "color.tflite",
        learned / "normal.npz",
        red,
        blue,
        blue,
        red,
        red,
        "--json",
    ]
    found = lines(say(capsys, *arguments, "--recover", 0.3))
    above = [row["threshold"] for row in found]
    first = pytest.approx(normal.threshold)
    assert above[:4] == [first, first, pytest.approx(lower), pytest.approx(lower)]
    assert above[4] == (lower if found[3]["score"] > lower else first)
    assert all(row["unusual"] == (row["score"] > row["threshold"]) for row in found)
    assert "above the first one, 0.01, not 0.005" in complain(
        capsys, *arguments, "--recover", 0.005
    )

    green = paint(learned / "green" / "0.png", "green", 0)
    arguments = [
        "classify",
        learned / "color.tflite",
        learned / "classes.npz",
        red,
        green,
        red,
        red,
        "--json",
    ]
    found = lines(say(capsys, *arguments, "--recover", 0.5))
    assert [row["class"] for row in found][:2] == ["red", None]
    assert found[2]["threshold"] > found[0]["threshold"]
    assert found[3]["threshold"] == found[0 if found[2]["class"] else 2]["threshold"]
    assert "leave --threshold away" in complain(
        capsys, *arguments, "--recover", 0.5, "--threshold", 0.3
    )


def test_each_mistake_is_one_sentence(learned, tmp_path, capsys):
    command = ["inspect", learned / "color.tflite", learned / "normal.npz"]
    assert "name pictures, or a folder to --watch" in complain(capsys, *command)
    assert "nowhere does not exist" in complain(capsys, *command, "--watch", tmp_path / "nowhere")
    assert "is not a folder" in complain(capsys, *command, "--watch", learned / "color.tflite")
    tiles = tmp_path / "tiles.npz"
    say(capsys, "normal", learned / "color.tflite", tiles, learned / "red", "--tiles", 2)
    assert "choose a folder outside of it" in complain(
        *(capsys, "inspect", learned / "color.tflite", tiles, "--watch", tmp_path),
        *("--heatmap", tmp_path / "where"),
    )


@pytest.mark.slow  # a process of its own loads TensorFlow
def test_ctrl_c_ends_the_command_at_once(learned, tmp_path):
    command = [
        "classify",
        learned / "color.tflite",
        learned / "classes.npz",
        "--watch",
        tmp_path,
        "--json",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "s2bnn_runtime", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr.readline() == "Waiting for new pictures. Ctrl-C ends.\n"
        paint(tmp_path / "0.png", "blue", 50)
        assert json.loads(process.stdout.readline())["class"] == "blue"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stdout.read() == ""
        assert process.stderr.read().endswith("Stopped.\n")
    finally:
        process.kill()
        process.communicate()
