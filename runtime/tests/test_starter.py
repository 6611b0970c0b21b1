"""The name `starter` in the place of a model, with a network of the tests in the file's place."""

from __future__ import annotations

import json

import pytest
from commands import complain, say
from test_few_shot import encoder, pictures  # noqa: F401  (fixtures)

from s2bnn_runtime import starter


@pytest.fixture
def shipped(encoder, monkeypatch):  # noqa: F811
    monkeypatch.setattr(starter, "starter_path", lambda: encoder)
    return encoder


def test_classes_from_one_picture_each(shipped, pictures, tmp_path, capsys):  # noqa: F811
    classes = tmp_path / "colors.npz"
    for name in ("red", "green", "blue"):
        say(capsys, "enroll", "starter", classes, name, pictures / name / "0.png")
    queries = [pictures / name / "3.png" for name in ("red", "green", "blue")]
    told = say(capsys, "classify", "starter", classes, *queries, "--json").splitlines()
    assert [json.loads(line)["class"] for line in told] == ["red", "green", "blue"]


def test_search_and_inspect(shipped, pictures, tmp_path, capsys):  # noqa: F811
    query = pictures / "green" / "0.png"
    found = say(capsys, "search", "starter", query, pictures, "--json").splitlines()
    assert {json.loads(line)["path"] for line in found[:3]} == {
        str(pictures / "green" / f"{number}.png") for number in (1, 2, 3)
    }
    say(capsys, "normal", "starter", tmp_path / "normal.npz", pictures / "green")
    told = say(capsys, "inspect", "starter", tmp_path / "normal.npz", pictures, "--json")
    assert len(told.splitlines()) == 12


def test_a_file_of_that_name_comes_first(shipped, tmp_path, monkeypatch, capsys):
    assert starter.read_model("starter") == shipped
    assert starter.read_model("other.tflite").name == "other.tflite"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter").write_bytes(b"no network")
    assert "starter cannot be run" in complain(capsys, "search", "starter", "a.png", "b.npz")


def test_a_package_without_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(starter, "starter_path", lambda: tmp_path / "starter.tflite")
    for verb in ("search", "index"):
        told = complain(capsys, verb, "starter", tmp_path, tmp_path / "b.npz")
        assert told.endswith("ships no starter; name a .tflite instead")
