"""Plugins: what the page about them shows, named on the command line, installed, and missing."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from s2bnn_tf.config import load_config
from s2bnn_tf.runs import leave_untrained

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extend.md").read_text("utf-8")
BRIEF = [
    *("--set", "epochs=1", "--set", "data.batch_size=64", "--set", "data.image_size=32"),
    *("--set", "student.width=0.0625", "--set", "monitor.knn_every=0", "--set", "steps=2"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The modules of the page by the names that it gives them, and what its commands need."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "configs").symlink_to(ROOT / "configs")
    found = re.findall(r"`(my_\w+\.py)`.*?```python\n(.*?)```", PAGE, re.DOTALL)
    assert [name for name, _ in found] == ["my_network.py", "my_objective.py", "my_source.py"]
    for name, text in found:
        assert len(text.splitlines()) <= 20, name
        (folder / name).write_text(text)
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 64), ("test", 24)):
        labels = np.arange(count) % 2
        noise = rng.integers(0, 100, (count, 16, 16, 3))
        arrays[f"{split}_images"] = (noise + 150 * labels[:, None, None, None]).astype(np.uint8)
        arrays[f"{split}_labels"] = labels
    np.savez(folder / "images.npz", **arrays)
    overrides = ["student.width=0.0625", "data.image_size=32"]
    teacher = load_config(ROOT / "configs/digits/teacher.yaml", overrides)
    leave_untrained(teacher, folder / "runs/digits/teacher")
    return folder


def run(folder: Path, *words: object, path: str = "") -> subprocess.CompletedProcess[str]:
    """A command in a folder, as an installed `s2bnn` runs it: the folder is not on the path."""
    code = f"import sys; sys.path.remove(''); sys.path.insert(0, {str(ROOT)!r}); "
    code += "from s2bnn_tf.cli import main; main(sys.argv[1:])"
    line = [sys.executable, "-c", code, *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", "").strip().split("\n")
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture(scope="module")
def runs(folder) -> Path:
    """The run directories, after all commands of the page."""
    for words in commands():
        done = run(folder, *words, *(BRIEF if "train" in words else ()))
        assert done.returncode == 0, f"{words}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    return folder / "runs"


def test_the_page_shows_each_kind(runs):
    assert load_config(runs / "mine/config.yaml").student.backbone == "plain"
    row = json.loads((runs / "neighbors/metrics.jsonl").read_text().splitlines()[0])
    assert 0 < row["custom"] < 4
    assert row["loss"] == pytest.approx(row["distillation"] + 10 * row["custom"], rel=1e-4)
    assert json.loads((runs / "arrays/eval/knn.json").read_text())["top1"] == 1.0


def test_a_run_remembers_its_plugins(runs):
    assert load_config(runs / "mine/config.yaml").plugins == ("my_network",)
    assert load_config(runs / "neighbors/config.yaml").plugins == ("my_objective",)
    assert load_config(runs / "arrays/config.yaml").plugins == ("my_source",)
    assert load_config(runs / "digits/teacher/config.yaml").plugins == ()


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stderr
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith("Error: ") and "Traceback" not in done.stderr, done.stderr
    return last


def test_a_run_that_is_opened_without_its_plugin(runs, folder):
    without = one_sentence(run(folder, "summary", "runs/mine"))
    assert (
        "There is no backbone named 'plain', and its recipe needs the plugin my_network, which is "
        "not imported (write `s2bnn --plugin my_network ...`); choose one of: "
    ) in without
    without = one_sentence(run(folder, "eval", "knn", "runs/arrays"))
    assert (
        "Unknown data source 'npz:images.npz', and its recipe needs the plugin my_source" in without
    )
    recipe = "runs/neighbors/config.yaml"
    without = one_sentence(run(folder, "train", recipe, "--output-dir", "runs/neighbors"))
    assert "no objective named 'neighbors', and its recipe needs the plugin my_objective" in without


def test_a_run_needs_its_objective_for_training_alone(runs, folder):
    done = run(folder, "summary", "runs/neighbors")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 +", r"The plugin broken cannot be imported: SyntaxError: .*broken.py, line 1\); mend"),
        ("import sys\nsys.exit(3)", r"broken cannot be imported: SystemExit: 3 \(broken.py, line"),
        ("x = 1\n{}['a']", r"cannot be imported: KeyError: 'a' \(broken.py, line 2\); mend it"),
        ("import nothing_like_it", "plugin broken lacks the module nothing_like_it; install it"),
    ],
)
def test_a_plugin_that_cannot_be_imported(text, words, tmp_path):
    (tmp_path / "broken.py").write_text(text)
    assert re.search(
        words, one_sentence(run(tmp_path, "--plugin", "broken", "data", "pack", "x", "y"))
    )


def test_a_plugin_that_is_not_there(tmp_path):
    said = one_sentence(run(tmp_path, "--plugin", "gone.away", "data", "pack", "x", "y"))
    assert f"There is no module gone in {tmp_path} or among the installed packages" in said


@pytest.mark.parametrize("name", ["my_network.py", "../my_network", "", "a b"])
def test_a_plugin_that_is_no_module(name, tmp_path):
    said = one_sentence(run(tmp_path, "--plugin", name, "data", "pack", "x", "y"))
    assert "expected the name of a module, as in my_networks for my_networks.py" in said


def test_a_name_that_is_taken(folder):
    text = (folder / "my_objective.py").read_text()
    (folder / "other.py").write_text(text.replace("def neighbors", "def others"))
    said = one_sentence(
        run(folder, "--plugin", "my_objective", "--plugin", "other", "data", "pack", "x", "y")
    )
    assert (
        "An objective named 'neighbors' is registered already by the plugin my_objective; choose "
        "another name for others in other."
    ) in said
    (folder / "ours.py").write_text(text.replace('"neighbors"', '"regression"'))
    said = one_sentence(run(folder, "--plugin", "ours", "data", "pack", "x", "y"))
    assert "An objective named 'regression' is registered already" in said


def test_help_imports_no_plugin(folder):
    done = run(folder, "--plugin", "nothing_like_it", "--help")
    assert done.returncode == 0 and "--plugin MODULE" in done.stdout


def install(folder: Path, value: str) -> str:
    """A package with an entry point, beside the modules of a folder; returns its path."""
    packages = folder / f"site-{value.replace('.', '-')}"
    info = packages / "my_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[s2bnn_tf.plugins]\nmine = {value}\n")
    return f"{packages}{os.pathsep}{folder}"


def test_an_installed_plugin_needs_no_option(runs, folder):
    done = run(folder, "summary", "runs/mine", path=install(folder, "my_network"))
    assert done.returncode == 0, done.stderr
    said = one_sentence(run(folder, "summary", "runs/mine", path=install(folder, "gone")))
    assert (
        "The plugin gone of my_package does not exist; install or uninstall the package again."
        in said
    )
