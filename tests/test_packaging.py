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

pytestmark = pytest.mark.both_sets

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {"requirements.lock": "3.11", "requirements-tf220.lock": "3.12"}


def lock_entries(name: str) -> list[str]:
    """The entries of a lock, each a requirement followed by its hashes."""
    text = (ROOT / name).read_text().replace("\\\n", "")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def read_lock(name: str) -> dict[str, list[Requirement]]:
    locked: dict[str, list[Requirement]] = {}
    for entry in lock_entries(name):
        requirement = Requirement(entry.split("--hash")[0])
        locked.setdefault(normal(requirement.name), []).append(requirement)
    return locked


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def declared_requirements(extra: str, python: str) -> list[Requirement]:
    """What pyproject.toml requires on a Python: for one extra, or the package's own for ""."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = project["optional-dependencies"][extra] if extra else project["dependencies"]
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    requirements = [Requirement(text) for text in texts]
    return [r for r in requirements if r.marker is None or r.marker.evaluate(environment)]


@pytest.mark.parametrize(("lock", "python"), LOCKS.items())
@pytest.mark.parametrize("extra", ["", "docs", "dev"])  # the tested set has no cuda and no torch
def test_the_lock_satisfies_pyproject(extra, lock, python):
    locked = read_lock(lock)
    for requirement in declared_requirements(extra, python):
        [pin] = locked[normal(requirement.name)]
        [exact] = pin.specifier
        assert Version(exact.version) in requirement.specifier, f"{requirement} but {pin}"


def test_each_set_has_its_tensorflow_and_a_protobuf_that_fits():
    names = ("tensorflow", "numpy", "protobuf", "tensorflow-addons", "tf-keras")
    found = {lock: [str(r) for n in names for r in read_lock(lock).get(n, [])] for lock in LOCKS}
    assert found["requirements.lock"][:2] == ["tensorflow==2.15.1", "numpy==1.26.4"]
    assert "protobuf==3.20.3" in found["requirements.lock"]
    assert found["requirements-tf220.lock"][:2] == ["tensorflow==2.20.0", "numpy==1.26.4"]
    assert "tf-keras==2.20.1" in found["requirements-tf220.lock"]
    assert not any("addons" in name for name in found["requirements-tf220.lock"])


@pytest.mark.parametrize("lock", [*LOCKS, "requirements-zoo.lock"])
def test_the_lock_is_exact_has_hashes_and_names_no_host(lock):
    for pins in read_lock(lock).values():
        for pin in pins:
            assert [specifier.operator for specifier in pin.specifier] == ["=="], str(pin)
            assert pin.url is None
    for entry in lock_entries(lock):
        assert re.search(r" --hash=sha256:[0-9a-f]{64}\b", entry), entry
    assert "://" not in (ROOT / lock).read_text()


def test_larq_zoo_is_installed_beside_the_set_and_replaces_nothing_of_it():
    zoo, tested = read_lock("requirements-zoo.lock"), read_lock("requirements-tf220.lock")
    assert {"larq-zoo", "zookeeper", "tensorflow-datasets", "typeguard"} <= zoo.keys()
    assert not zoo.keys() & tested.keys()


def fake_python(path: Path, answer: str) -> Path:
    """A program with the name of a Python that answers like this, whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o755)
    return path


def says(version: str) -> str:
    """The answers of a Python: its version, itself, and an environment that is a copy of it."""
    return f"""
case "$*" in
  *_base_executable*) if [ -e "$0.base" ]; then cat "$0.base"; else echo "$0"; fi ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "$0" > "$3/bin/python.base"
    printf '#!/bin/sh\\nexit 0\\n' > "$3/bin/pip" && chmod +x "$3/bin/pip" ;;
  *) echo {version} ;;
esac"""


@pytest.fixture
def machine(tmp_path) -> Path:
    """A checkout in `here`, and an empty folder `bin` that comes first in PATH."""
    for name in ("Makefile", ".ci/find-python", *LOCKS):
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "here" / name)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "make", "sed", "cat", "rm", "mkdir", "touch", "cp", "chmod", "uname"):
        (tools / name).symlink_to(shutil.which(name))
    for name in ("find", "grep", "expand", "ls"):
        (tools / name).symlink_to(shutil.which(name))
    return tmp_path


def make(machine: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run make with nothing in PATH but the folder `bin`, and ask for the environment alone."""
    return subprocess.run(
        [shutil.which("make"), *(arguments or (".venv",))],
        cwd=machine / "here",
        env={"PATH": str(machine / "bin"), "HOME": str(machine)},
        capture_output=True,
        text=True,
        check=False,
    )


def created(done: subprocess.CompletedProcess) -> str:
    """The Python and the lock of the environment that make said that it creates."""
    assert done.returncode == 0, done.stderr
    said = re.findall(
        r"Creating .venv with Python (\S+) from requirements(\S*)\.lock:", done.stderr
    )
    return " ".join("".join(words) for words in said)


def one_sentence(done: subprocess.CompletedProcess) -> str:
    [message] = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
    assert done.returncode != 0
    return message


@pytest.mark.parametrize(
    ("answer", "words"),
    [("echo 3.13", "is 3.13"), ("echo 3.9", "is 3.9"), ("exit 127", "is none that runs")],
)
def test_another_python_gets_one_sentence(machine, answer, words):
    fake_python(machine / "bin/python3.12", says("3.12"))  # PYTHON wins, even where it is wrong
    message = one_sentence(make(machine, ".venv", f"PYTHON={fake_python(machine / 'x', answer)}"))
    assert "needs Python 3.10, 3.11 or 3.12" in message and "PYTHON=" in message
    assert words in message
    assert not (machine / "here/.venv").exists()


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"bin/python3.11": "3.11"}, "3.11"),
        ({"bin/python3.10": "3.10", "bin/python3.11": "3.11"}, "3.11"),
        ({"bin/python3.11": "3.11", "bin/python3.12": "3.12"}, "3.12-tf220"),
        ({"bin/python": "3.11", "bin/python3": "3.12"}, "3.12-tf220"),
        ({"bin/python3.11": "3.11", "pyenv/versions/3.12.1/bin/python": "3.12"}, "3.12-tf220"),
        ({"bin/python3": "3.13", "bin/python": "3.11"}, "3.11"),
        ({"bin/python3": "3.13", "uv/python3.12": "3.12"}, "3.12-tf220"),
        ({"bin/python3": "3.13", "pyenv/versions/3.12.1/bin/python": "3.12"}, "3.12-tf220"),
        ({"bin/python3": "3.13", "pyenv/versions/3.10.9/bin/python": "3.10"}, "3.10"),
    ],
)
def test_the_first_python_that_has_a_set_is_taken(machine, installed, expected):
    """Also where the names in PATH are shims of pyenv that fail, or uv alone has it."""
    for name, version in installed.items():
        fake_python(machine / name, says(version))
        if name.startswith("pyenv"):
            shim = "echo 'pyenv: command not found' >&2; exit 127"
            fake_python(machine / "bin" / f"python{version}", shim)
            fake_python(machine / "bin/pyenv", f"echo {machine}/pyenv")
        if name.startswith("uv"):
            answer = f'[ "$1 $2 $4" = "python find {version}" ] && echo {machine / name}'
            fake_python(machine / "bin/uv", answer)
    done = make(machine)
    assert created(done) == expected
    assert (machine / "here/.venv/complete-by-make").exists()


def test_uv_installs_python_where_there_is_none(machine):
    fake_python(machine / "bin/python3", says("3.13"))
    fake_python(machine / "later", says("3.12"))
    fake_python(
        machine / "bin/uv",
        f'case "$2" in install) touch {machine}/done ;; '
        f"find) [ -e {machine}/done ] && echo {machine}/later ;; esac",
    )
    done = make(machine)
    assert created(done) == "3.12-tf220"
    assert "Installing Python 3.12 with uv." in done.stderr


def test_where_there_is_no_python_one_sentence_names_what_is_missing(machine):
    assert "and here is none: install Python 3.12 or uv" in one_sentence(make(machine))
    fake_python(machine / "bin/python3", says("3.13"))
    assert "and here is 3.13: install Python 3.12 or uv" in one_sentence(make(machine))


def test_an_environment_keeps_its_set_until_another_python_is_chosen(machine):
    fake_python(machine / "bin/python3.11", says("3.11"))
    assert created(make(machine)) == "3.11"
    newer = fake_python(machine / "bin/python3.12", says("3.12"))
    assert created(make(machine)) == ""  # it is complete
    with (machine / "here/requirements-tf220.lock").open("a") as lock:
        lock.write("# changed\n")
    assert created(make(machine)) == ""  # that is not its lock
    os.utime(machine / "here/requirements.lock", (4e9, 4e9))
    assert created(make(machine)) == "3.11"
    os.utime(machine / "here/requirements.lock", (1e9, 1e9))
    assert created(make(machine, ".venv", f"PYTHON={newer}")) == "3.12-tf220"
    assert created(make(machine, ".venv", f"PYTHON={newer}")) == ""
    assert created(make(machine)) == ""


def test_an_interrupted_environment_is_made_again(machine):
    broken = says("3.11").replace("exit 0\\n", "exit 1\\n")  # its pip fails
    python = fake_python(machine / "bin/python3.11", broken)
    assert make(machine).returncode != 0
    assert (machine / "here/.venv").exists()
    assert not (machine / "here/.venv/complete-by-make").exists()
    fake_python(python, says("3.11"))
    assert created(make(machine)) == "3.11"


def test_a_venv_of_somebody_else_is_left_alone(machine):
    (machine / "here/.venv").mkdir()
    (machine / "here/.venv/precious").touch()
    fake_python(machine / "bin/python3.11", says("3.11"))
    assert "did not create this .venv" in one_sentence(make(machine))
    assert (machine / "here/.venv/precious").exists()


def test_recipes_are_found():
    assert yaml.safe_load(config_path("digits/teacher.yaml").read_text())
    with pytest.raises(UserError, match="no recipe digits/none.yaml"):
        config_path("digits/none.yaml")
