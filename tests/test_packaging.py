"""The Makefile picks a Python that works; pins, lock and shipped files agree."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from s2bnn_tf.errors import UserError
from s2bnn_tf.recipes import config_path

ROOT = Path(__file__).resolve().parent.parent


def read_lock() -> dict[str, list[Requirement]]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked: dict[str, list[Requirement]] = {}
    for line in lines:
        if line and not line.startswith("#"):
            locked.setdefault(normal(Requirement(line).name), []).append(Requirement(line))
    return locked


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def requirements_of_setup() -> dict[str, list[str]]:
    """The requirements written in setup.py, per extra; the tested set has no cuda and no torch."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    values = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    frozen = ast.literal_eval(values["FROZEN"])
    call = tree.body[-1].value
    arguments = {keyword.arg: keyword.value for keyword in call.keywords}
    others = [ast.literal_eval(e) for e in arguments["install_requires"].elts[1:]]
    extras = ast.literal_eval(arguments["extras_require"])
    return {"": frozen + others, "docs": extras["docs"], "dev": extras["dev"]}


@pytest.mark.parametrize("extra", ["", "docs", "dev"])
def test_the_lock_satisfies_setup(extra):
    locked = read_lock()
    for requirement in map(Requirement, requirements_of_setup()[extra]):
        [pin] = locked[normal(requirement.name)]
        [exact] = pin.specifier
        assert Version(exact.version) in requirement.specifier, f"{requirement} but {pin}"


def test_the_lock_is_exact_and_names_no_host():
    for pins in read_lock().values():
        for pin in pins:
            assert [specifier.operator for specifier in pin.specifier] == ["=="], str(pin)
            assert pin.url is None
    assert "://" not in (ROOT / "requirements.lock").read_text()


def fake_python(folder: Path, answer: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "python3.11"
    script.write_text(f"#!/bin/sh\n{answer}\n")
    script.chmod(0o755)
    return script


def run_make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**os.environ, "MAKEFLAGS": "", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("answer", ["echo 3.12", "echo 3.9", "exit 127"])
def test_another_python_gets_one_sentence(tmp_path, answer):
    python = fake_python(tmp_path / "bin", answer)
    done = run_make(tmp_path, "test", f"PYTHON={python}")
    told = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0
    assert len(told) == 1 and "needs Python 3.10 or 3.11" in told[0] and "PYTHON=" in told[0]
    assert not (tmp_path / ".venv").exists()


def test_a_name_in_path_that_does_not_run_is_passed_over(tmp_path):
    """As pyenv's shims do: `python3.11` is there, and fails; the next candidate is asked."""
    fake_python(tmp_path / "bin", "echo 'pyenv: python3.11: command not found' >&2; exit 127")
    works = fake_python(tmp_path / "works", f"echo 3.10; echo asked >> {tmp_path}/asked")
    works.rename(tmp_path / "bin" / "python3.10")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = run_make(tmp_path, "test", PATH=path)
    assert (tmp_path / "asked").exists()
    assert "Making .venv with Python 3.10" in done.stderr
    assert done.returncode != 0  # the fake makes no environment,
    assert not (tmp_path / ".venv" / "complete-by-make").exists()  # and none counts as made


def test_a_venv_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "precious").touch()
    python = fake_python(tmp_path / "bin", "echo 3.11")
    done = run_make(tmp_path, "test", f"PYTHON={python}")
    assert done.returncode != 0
    assert "did not make this .venv" in done.stderr
    assert (tmp_path / ".venv" / "precious").exists()


def test_recipes_are_found():
    assert yaml.safe_load(config_path("digits/teacher.yaml").read_text())
    with pytest.raises(UserError, match="no recipe digits/none.yaml"):
        config_path("digits/none.yaml")
