"""Plugins: what the page about them shows, named on the command line, installed, and missing."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from s2bnn_tf import plugins
from s2bnn_tf.backbones.registry import _BACKBONES
from s2bnn_tf.cli import main
from s2bnn_tf.config import load_config
from s2bnn_tf.data.registry import _SOURCES
from s2bnn_tf.objectives.registry import _OBJECTIVES
from s2bnn_tf.runs import leave_untrained

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extend.md").read_text("utf-8")
BRIEF = [
    *("--set", "steps=2", "--set", "data.batch_size=64", "--set", "data.image_size=32"),
    *("--set", "student.width=0.0625", "--set", "monitor.knn_every=0"),
]
NOTHING = ("data", "pack", "x", "y")  # a verb that fails at once


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


def run(folder: Path, *words: object, installed: Sequence[Path] = ()) -> Result:
    """Run a command in a folder as a new process does: no plugin is imported or registered."""
    with pytest.MonkeyPatch.context() as patch:
        for registry in (_BACKBONES, _OBJECTIVES, _SOURCES):
            patch.setattr(registry, "entries", dict(registry.entries))
            patch.setattr(registry, "_plugins", dict(registry._plugins))
        patch.setattr(plugins, "_expected", {})
        patch.setattr(sys, "path", [*map(str, installed), *filter(None, sys.path)])
        patch.chdir(folder)
        plugins.load_installed.cache_clear()
        before = set(sys.modules)
        try:
            return CliRunner().invoke(main, list(map(str, words)))
        finally:
            plugins.load_installed.cache_clear()
            for name in set(sys.modules) - before:
                if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == folder:
                    del sys.modules[name]


def one_sentence(done: Result) -> str:
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done.output
    *_, last = done.output.strip().splitlines()
    assert last.startswith("Error: "), done.output
    return last


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", "").strip().split("\n")
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture(scope="module")
def runs(folder) -> Path:
    """The run directories, after all commands of the page."""
    for words in commands():
        done = run(folder, *words, *(BRIEF if "train" in words else ()))
        assert done.exit_code == 0, f"{words}\n{done.output}\n{done.exception}"
    return folder / "runs"


@pytest.mark.slow
def test_the_page_shows_each_kind(runs):
    assert load_config(runs / "mine/config.yaml").student.backbone == "plain"
    row = json.loads((runs / "neighbors/metrics.jsonl").read_text().splitlines()[0])
    assert 0 < row["custom"] < 4
    assert row["loss"] == pytest.approx(row["distillation"] + 10 * row["custom"], rel=1e-4)
    assert json.loads((runs / "arrays/eval/knn.json").read_text())["top1"] == 1.0


@pytest.mark.slow
def test_a_run_remembers_its_plugins(runs):
    assert load_config(runs / "mine/config.yaml").plugins == ("my_network",)
    assert load_config(runs / "neighbors/config.yaml").plugins == ("my_objective",)
    assert load_config(runs / "arrays/config.yaml").plugins == ("my_source",)
    assert load_config(runs / "digits/teacher/config.yaml").plugins == ()


@pytest.mark.slow
def test_a_run_that_is_opened_without_its_plugin(runs, folder):
    without = one_sentence(run(folder, "summary", "runs/mine"))
    assert "no backbone named 'plain', and its recipe needs the plugin my_network" in without
    without = one_sentence(run(folder, "eval", "knn", "runs/arrays"))
    assert "Unknown data source 'npz:images.npz', and its recipe needs the plugin my_sou" in without
    recipe = "runs/neighbors/config.yaml"
    without = one_sentence(run(folder, "train", recipe, "--output-dir", "runs/neighbors"))
    assert "no objective named 'neighbors', and its recipe needs the plugin my_objective" in without


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("student: {backbone: plain}", "There is no backbone named 'plain'"),
        ("data: {source: 'npz:images.npz'}", "Unknown data source 'npz:images.npz'"),
        (
            "objective: {custom: neighbors, custom_weight: 1}\n"
            "teacher: {weights: runs/digits/teacher}",
            "There is no objective named 'neighbors'",
        ),
    ],
)
def test_a_recipe_without_its_plugin(text, words, folder):
    contrast = "" if "objective" in text else "objective: {contrastive_weight: 1}\n"
    (folder / "recipe.yaml").write_text(f"plugins: [absent]\n{contrast}{text}\n")
    brief = ["data.image_size=32", "student.width=0.0625", "objective.distillation_weight=0"]
    overrides = [word for change in brief for word in ("--set", change)]
    said = one_sentence(
        run(folder, "train", "recipe.yaml", "--output-dir", folder / "runs/without", *overrides)
    )
    assert (
        f"{words}, and its recipe needs the plugin absent, which is not imported (write "
        "`s2bnn --plugin absent ...`); "
    ) in said


def test_a_recipe_that_names_no_module(folder):
    (folder / "recipe.yaml").write_text("plugins: ['../x']\nobjective: {distillation_weight: 0}\n")
    said = one_sentence(
        run(
            folder,
            "train",
            "recipe.yaml",
            "--output-dir",
            "x",
            "--set=objective.contrastive_weight=1",
        )
    )
    assert "plugins: expected names of modules, not '../x'" in said


@pytest.mark.slow
def test_a_run_needs_its_objective_for_training_alone(runs, folder):
    assert run(folder, "summary", "runs/neighbors").exit_code == 0


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
    said = one_sentence(run(tmp_path, "--plugin", "broken", *NOTHING))
    assert re.search(words, said), said


def test_a_plugin_that_is_not_there(tmp_path):
    said = one_sentence(run(tmp_path, "--plugin", "gone.away", *NOTHING))
    assert f"There is no module gone in {tmp_path} or among the installed packages" in said


@pytest.mark.parametrize("name", ["my_network.py", "../my_network", "", "a b"])
def test_a_plugin_that_is_no_module(name, tmp_path):
    if name == "my_network.py":
        (tmp_path / name).write_text("")
    said = one_sentence(run(tmp_path, "--plugin", name, *NOTHING))
    assert "expected the name of a module, as in my_networks for my_networks.py" in said


def test_a_name_that_is_taken(folder):
    text = (folder / "my_objective.py").read_text()
    (folder / "other.py").write_text(text.replace("def neighbors", "def others"))
    said = one_sentence(run(folder, "--plugin", "my_objective", "--plugin", "other", *NOTHING))
    assert (
        "An objective named 'neighbors' is registered already by the plugin my_objective; choose "
        "another name for others in other."
    ) in said
    (folder / "ours.py").write_text(text.replace('"neighbors"', '"regression"'))
    said = one_sentence(run(folder, "--plugin", "ours", *NOTHING))
    assert "An objective named 'regression' is registered already" in said


def test_a_name_that_is_no_identifier(folder):
    text = (folder / "my_source.py").read_text()
    (folder / "spaced.py").write_text(text.replace('"npz"', '"n:z"'))
    said = one_sentence(run(folder, "--plugin", "spaced", *NOTHING))
    assert "A name of a source is made of letters, digits and _, unlike 'n:z'" in said


def test_an_objective_that_is_no_number(folder):
    text = (folder / "my_objective.py").read_text()
    (folder / "rows.py").write_text(text.replace("tf.reduce_mean(", "("))
    words = next(words for words in commands() if "my_objective" in words)
    words = ["rows" if word == "my_objective" else word for word in words]
    words[words.index("runs/neighbors")] = "runs/rows"
    said = one_sentence(run(folder, *words, *BRIEF))
    assert "objective 'neighbors' returns float32 of the shape (4, 4) where a single number" in said
    (folder / "rows.py").write_text(text.replace("target, target", "target, tf.ones((3, 5))"))
    said = one_sentence(run(folder, *words, *BRIEF))
    assert "The objective 'neighbors' fails on embeddings of the shape (4, 64): Invalid" in said


def test_a_source_that_returns_no_images(folder):
    text = (folder / "my_source.py").read_text()
    words = ["train", "configs/digits/teacher.yaml", "--set", "data.source=npz:images.npz"]
    (folder / "empty.py").write_text(
        text.replace("    return ArraySource(", "    return None and (")
    )
    said = one_sentence(
        run(folder, "--plugin", "empty", *words, "--output-dir", "runs/empty", *BRIEF)
    )
    assert "The source 'npz' has returned no train images; it is to return an ImageSource" in said


def test_a_process_of_its_own(tmp_path):
    """The folder that a command runs in is searched, and help imports nothing."""
    (tmp_path / "told.py").write_text("print('imported')")
    code = "import sys; sys.path.remove(''); from s2bnn_tf.cli import main; main(sys.argv[1:])"
    for words, told in (
        (["--plugin", "told", *NOTHING], True),
        (["--plugin", "told", "-h"], False),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == told, done.stderr
        assert ("imported" in done.stdout) == told and "Traceback" not in done.stderr


def install(folder: Path, value: str) -> list[Path]:
    """A package with an entry point, beside the modules of a folder; returns what is searched."""
    packages = folder / f"site-{value}"
    info = packages / "my_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[s2bnn_tf.plugins]\nmine = {value}\n")
    return [packages, folder]


def test_an_installed_plugin_needs_no_option(folder):
    recipe = ["summary", str(folder / "mine.yaml")]
    (folder / "mine.yaml").write_text(
        "student: {backbone: plain}\ndata: {image_size: 32}\n"
        "objective: {contrastive_weight: 1, distillation_weight: 0}\n"
    )
    done = run(folder, *recipe, installed=install(folder, "my_network"))
    assert done.exit_code == 0, done.output
    said = one_sentence(run(folder, *recipe, installed=install(folder, "gone")))
    assert "The plugin gone of my_package does not exist; install or uninstall" in said
