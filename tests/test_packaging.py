"""The Makefile picks a Python that works; requirements, lock and shipped files agree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from s2bnn_tf.errors import UserError
from s2bnn_tf.recipes import config_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent


def lock_entries() -> list[str]:
    """The entries of the lock, each a requirement followed by its hashes."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", "")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def read_lock() -> dict[str, list[Requirement]]:
    locked: dict[str, list[Requirement]] = {}
    for entry in lock_entries():
        requirement = Requirement(entry.split("--hash")[0])
        locked.setdefault(normal(requirement.name), []).append(requirement)
    return locked


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def declared_requirements(extra: str) -> list[str]:
    """The requirements in pyproject.toml: those of one extra, or the package's own for ""."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["optional-dependencies"][extra] if extra else project["dependencies"]


@pytest.mark.parametrize("extra", ["", "docs", "dev"])  # the tested set has no cuda and no torch
def test_the_lock_satisfies_pyproject(extra):
    locked = read_lock()
    for requirement in map(Requirement, declared_requirements(extra)):
        [pin] = locked[normal(requirement.name)]
        [exact] = pin.specifier
        assert Version(exact.version) in requirement.specifier, f"{requirement} but {pin}"


def test_the_lock_is_exact_and_names_no_host():
    for pins in read_lock().values():
        for pin in pins:
            assert [specifier.operator for specifier in pin.specifier] == ["=="], str(pin)
            assert pin.url is None
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_every_entry_of_the_lock_has_hashes():
    for entry in lock_entries():
        assert re.search(r" --hash=sha256:[0-9a-f]{64}\b", entry), entry


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
    messages = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0
    assert len(messages) == 1
    assert "needs Python 3.10 or 3.11" in messages[0] and "PYTHON=" in messages[0]
    assert not (tmp_path / ".venv").exists()


def test_a_python_in_path_that_does_not_run_is_passed_over(tmp_path):
    """With pyenv, `python3.11` may exist as a shim that fails; the next candidate is tried."""
    fake_python(tmp_path / "bin", "echo 'pyenv: python3.11: command not found' >&2; exit 127")
    works = fake_python(tmp_path / "works", f"echo 3.10; echo asked >> {tmp_path}/asked")
    works.rename(tmp_path / "bin" / "python3.10")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = run_make(tmp_path, "test", PATH=path)
    assert (tmp_path / "asked").exists()
    assert "Creating .venv with Python 3.10" in done.stderr
    assert done.returncode != 0  # the fake creates no environment,
    assert not (tmp_path / ".venv" / "complete-by-make").exists()  # and make knows it


def test_a_venv_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "precious").touch()
    python = fake_python(tmp_path / "bin", "echo 3.11")
    done = run_make(tmp_path, "test", f"PYTHON={python}")
    assert done.returncode != 0
    assert "did not create this .venv" in done.stderr
    assert (tmp_path / ".venv" / "precious").exists()


def test_recipes_are_found():
    assert yaml.safe_load(config_path("digits/teacher.yaml").read_text())
    with pytest.raises(UserError, match="no recipe digits/none.yaml"):
        config_path("digits/none.yaml")
