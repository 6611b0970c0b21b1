"""Imports go one way, and heavy packages stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "s2bnn_tf"
FILES = sorted(PACKAGE.rglob("*.py"))

ANYWHERE = {"errors", "environment", "files", "recipes", "config_loader"}
LEAVES = {"config", "data", "layers", "objectives"}
BELOW_SIBLINGS = LEAVES | {"backbones", "weights"}
MAY_IMPORT = {
    **{name: set() for name in ANYWHERE | LEAVES},
    "backbones": {"layers", "objectives"},
    "weights": LEAVES | {"backbones"},
    "training": BELOW_SIBLINGS,
    "evaluation": BELOW_SIBLINGS,
    "export": BELOW_SIBLINGS,
}
ONLY_IN = {
    "torch": ["weights/torch_import.py"],
    "larq_compute_engine": ["export/", "weights/runtime.py"],
    "larq_zoo": ["backbones/zoo.py"],
    "tensorflow_addons": ["data/", "training/"],
    "s2bnn_runtime": ["weights/runtime.py", "export/"],
}


def imported(tree: ast.AST) -> list[str]:
    """Dotted names of all imports, those inside functions too; a relative one starts with a dot."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            # `from s2bnn_tf import data` imports a module of ours as well
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


def top_level_imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    return imported(ast.Module([node for node in tree.body if "Import" in type(node).__name__], []))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_is_below_it(path):
    where = path.relative_to(PACKAGE)
    own = where.parts[0].removesuffix(".py")
    for name in imported(ast.parse(path.read_text())):
        assert not name.startswith("."), f"{where}: relative import {name}"
        package, *rest = name.split(".")
        if package == "s2bnn_tf" and own in MAY_IMPORT and not rest[0].startswith("__"):
            assert rest[0] in MAY_IMPORT[own] | ANYWHERE | {own}, f"{where} imports {name}"
        if package in ONLY_IN:
            allowed = any(where.as_posix().startswith(place) for place in ONLY_IN[package])
            assert allowed, f"{where} imports {package}, which belongs in {ONLY_IN[package]}"


def test_every_package_has_a_place_in_the_order():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages <= MAY_IMPORT.keys() | {"cli"}  # which stands above all of them


def test_the_runtime_does_not_know_the_package():
    """Nor do its tests; its benchmarks build the networks that they measure with it."""
    runtime = ROOT / "runtime"
    for path in (*runtime.glob("s2bnn_runtime/*.py"), *runtime.glob("t*/**/*.py")):
        names = imported(ast.parse(path.read_text()))
        assert not [name for name in names if name.split(".")[0] == "s2bnn_tf"], path


COMMAND_LINE = [PACKAGE / "__init__.py", PACKAGE / "__main__.py", *PACKAGE.glob("cli/*.py")]


@pytest.mark.parametrize("path", COMMAND_LINE, ids=lambda path: path.name)
def test_the_command_line_names_tensorflow_inside_bodies_only(path):
    foreign = {"tensorflow", "larq", "larq_zoo", "larq_compute_engine", "tensorflow_addons"}
    assert not foreign & {module.split(".")[0] for module in top_level_imports(path)}


def test_help_does_not_load_tensorflow():
    code = (
        "import sys\nfrom s2bnn_tf.cli import main\n"
        "main(['--help'], standalone_mode=False)\nassert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
