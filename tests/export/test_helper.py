"""Conversion in an environment of its own, where Larq Compute Engine is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from s2bnn_tf.errors import ConfigError, DeviceError
from s2bnn_tf.export import helper
from s2bnn_tf.progress import no_progress

ROOT = Path(__file__).resolve().parents[2]
STUDENT = ROOT / "tests/compat/data/0.1.0/student"


def pins() -> dict[str, str]:
    return dict(line.split("==") for line in helper._PINS.read_text().splitlines())


def test_the_pins_are_those_of_the_lock():
    lock = (ROOT / "requirements-tf220.lock").read_text()
    for name, number in pins().items():
        assert f"\n{name}=={number} " in lock
    for name in ("larq-compute-engine", "tensorflow", "tf-keras", "numpy"):
        assert name in pins()


@pytest.mark.both_sets
@pytest.mark.only_with("2.20", "the packages that the pins name")
def test_the_pins_are_all_that_the_package_needs():
    found: dict[str, str] = {}
    names = ["s2bnn_tf"]
    for name in names:
        for text in requires(name) or []:
            requirement = Requirement(text)
            needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            canonical = canonicalize_name(requirement.name)
            if needed and canonical not in found:
                found[canonical] = version(canonical)
                names.append(canonical)
    assert found == pins()


def test_where_nothing_can_make_the_environment_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DeviceError, match="run `pip install uv`, or install Python 3.12"):
        helper.convert_in_helper(tmp_path, tmp_path / "x.tflite", {}, no_progress)


def test_an_environment_that_cannot_be_filled_is_one_sentence_and_is_not_used(
    tmp_path, monkeypatch
):
    """The tools are real programs that fail as without a network."""
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'error: no connection' >&2\nexit 2\n")
    uv.chmod(0o755)
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    said = []
    with pytest.raises(DeviceError, match=r"cannot be made in .* \(error: no connection\)"):
        helper.convert_in_helper(tmp_path, tmp_path / "x.tflite", {}, said.append)
    assert len(said) == 1 and "once: 2." in said[0] and str(tmp_path / "cache") in said[0]
    assert not list((tmp_path / "cache").glob("converter-*/complete"))


def test_uv_is_given_the_python_that_the_machine_has(tmp_path, monkeypatch):
    """Otherwise it would load one, which fails without a network."""
    python = tmp_path / "pyenv/versions/3.12.1/bin/python"
    python.parent.mkdir(parents=True)
    for program, text in ((tmp_path / "uv", 'echo "error: $*" >&2; exit 2'), (python, "exit 0")):
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DeviceError, match=f"venv --quiet --python {python} "):
        helper.convert_in_helper(tmp_path, tmp_path / "x.tflite", {}, no_progress)


def helper_here(cache: Path) -> None:
    """Let this Python be the helper: the same process boundary without 2 GB of packages."""
    name = f"converter-{helper.sha256(helper._PINS.read_bytes()).hexdigest()[:8]}"
    (cache / name / "bin").mkdir(parents=True)
    python = cache / name / "bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (cache / name / "complete").touch()


@pytest.fixture
def convert_there(tmp_path, monkeypatch):
    """`convert_run` as it is where Larq Compute Engine is missing."""
    module = import_module("s2bnn_tf.export.convert")  # the name is that of a function, too
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "needs_helper", lambda: True)
    monkeypatch.setattr(helper, "loaded_plugins", list)  # other tests leave some behind
    helper_here(tmp_path / "cache")
    return module.convert_run


@pytest.mark.both_sets
def test_what_the_helper_refuses_is_the_same_error_here(convert_there, tmp_path):
    with pytest.raises(ConfigError, match="must be named"):
        convert_there(STUDENT, tmp_path / "there.bin", data="digits")


@pytest.mark.slow
@pytest.mark.both_sets
def test_the_answer_of_the_helper_is_the_card(convert_there, tmp_path):
    said = []
    card = convert_there(STUDENT, tmp_path / "it.tflite", data="digits", progress=said.append)
    assert json.loads((tmp_path / "it.json").read_text()) == card
    assert card["sha256"] == helper.sha256((tmp_path / "it.tflite").read_bytes()).hexdigest()
    assert said[0] == "Converting with Larq Compute Engine"


@pytest.mark.slow
def test_a_python_without_larq_compute_engine_converts(tmp_path, monkeypatch):
    """For real: the environment is made with what this machine has, and converts."""
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path / "cache"))
    code = (
        "import sys, importlib\nsys.modules['larq_compute_engine'] = None\n"
        "it = importlib.import_module('s2bnn_tf.export.convert')\n"
        "it.needs_helper = lambda: True\n"
        "from s2bnn_tf.cli import main\nmain()"
    )
    command = [sys.executable, "-c", code, "convert", STUDENT, tmp_path / "student.tflite"]
    command += ["--data", "digits"]
    for attempt in ("made", "used again"):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "verified" in done.stdout
        assert ("Making an environment" in done.stderr) == (attempt == "made")
