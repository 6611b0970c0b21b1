"""The example of a kiosk, with pictures from a folder and keys from standard input."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path

import pytest
from test_watch import learned, paint  # noqa: F401

from s2bnn_runtime import PrototypeClassifier, S2bnnError

EXAMPLE = Path(__file__).parents[2] / "examples/kiosk.py"


@pytest.fixture
def kiosk(monkeypatch, capsys):
    """A function that runs the kiosk with these keys, and returns its lines."""
    spec = importlib.util.spec_from_file_location("kiosk", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(keys: str, *arguments) -> list[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{key}\n" for key in keys)))
        module.main([str(argument) for argument in arguments])
        return capsys.readouterr().out.splitlines()

    return run


def test_three_keys_enroll_and_the_rest_is_named(kiosk, learned, tmp_path):  # noqa: F811
    colors = ("red", "green", "blue")
    for number in range(15):
        paint(tmp_path / "photos" / f"{number:02}.png", colors[number % 3], number)
    model, classes = learned / "color.tflite", tmp_path / "classes.npz"
    names = ["--names", "Red", "Green", "Blue"]
    said = kiosk("123   11q", model, classes, tmp_path / "photos", *names)
    assert said[0].endswith("00.png: nothing is enrolled yet")
    assert ": Red (" in said[1]
    assert [line.split(": ")[1].split()[0] for line in said[3:7]] == ["Red", "Green", "Blue", "Red"]
    assert len(said) == 9  # q ended it before the tenth
    assert PrototypeClassifier.load(classes).counts == {"Red": 3, "Green": 1, "Blue": 1}
    again = kiosk("", model, classes, tmp_path / "photos", *names)  # the end of the input ends it
    assert len(again) == 1 and ": Red (" in again[0]


def test_a_camera_that_is_not_there_is_one_sentence(kiosk, learned, tmp_path):  # noqa: F811
    pytest.importorskip("cv2")
    with pytest.raises(S2bnnError, match="camera 99 gives no picture"):
        kiosk("", learned / "color.tflite", tmp_path / "classes.npz", 99)
    with pytest.raises(S2bnnError, match="there is no picture in"):
        kiosk("", learned / "color.tflite", tmp_path / "classes.npz", tmp_path)
