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

# From below to above: a package imports those in earlier lines, never one in its own line or later.
ORDER = (
    ("errors", "text", "vectors"),
    ("progress",),
    (
        *("blas", "collecting", "environment", "files", "interrupts", "locks"),
        *("plugins", "reading"),
        *("defaults", "image_size", "recipes"),
    ),
    ("checked", "config_loader", "registry", "starter"),
    ("config", "data", "layers", "objectives", "tflite"),
    ("backbones",),
    ("runs",),
    ("torch_import",),
    ("teachers",),
    ("training", "evaluation", "export"),
    ("report",),
    ("pipeline",),
    ("demo_pictures",),
    ("demo",),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
NO_CONFIG = {"layers", "backbones", "objectives", "data", "tflite"}  # these take plain arguments
ONLY_IN = {
    "torch": {"torch_import", "teachers/words/transformers_encoder.py"},
    "larq_compute_engine": {"export", "tflite"},
    "tokenizers": {"teachers"},
    "transformers": {"teachers"},
    "larq_zoo": {"backbones/zoo.py"},
    "onnxruntime": {"teachers"},
    "tensorflow_addons": set(),  # it serves the tests alone
    "s2bnn_runtime": {"export", "tflite"},
}
TOP_LEVEL = {"__init__", "__main__"}
LEAVING = ("tensorflow.lite", "tf.lite")  # later versions of TensorFlow lose this
QUANTIZER = PACKAGE / "export" / "int8.py"  # there is no other one


def imports(path: Path) -> list[tuple[str, str]]:
    """All imports of a file, those inside functions too, as (module, name); name is "" for all."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [(module, alias.name) for alias in node.names]
    return found


def top_level_imports(path: Path) -> list[str]:
    body = ast.parse(path.read_text()).body
    plain = [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module or "" for node in body if isinstance(node, ast.ImportFrom)]


def room(path: Path) -> str:
    """The package or top-level module that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def ours(path: Path) -> list[tuple[str, str]]:
    """What a file imports from other rooms of the package: (room, what is left of the path)."""
    found = []
    for module, name in imports(path):
        whole = f"{module}.{name}" if module == "s2bnn_tf" else module
        package, _, rest = whole.partition(".")
        target, _, inside = rest.partition(".")
        if package == "s2bnn_tf" and not target.startswith("__") and target != room(path):
            found.append((target, inside))
    return found


def inside(path: Path, places: set[str]) -> bool:
    where = path.relative_to(PACKAGE).as_posix()
    return any(where == place or where.startswith(f"{place}/") for place in places)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_is_below_it(path):
    for module, _ in imports(path):
        assert not module.startswith("."), f"relative import of {module}"
        package = module.split(".")[0]
        if package in ONLY_IN:
            assert inside(path, ONLY_IN[package]), f"{package} belongs in {ONLY_IN[package]}"
    if room(path) in TOP_LEVEL:
        return
    for target, _ in ours(path):
        assert LEVEL[target] < LEVEL[room(path)], f"imports {target}, which is not below it"
        assert target != "config" or room(path) not in NO_CONFIG


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_package_is_imported_through_its_public_names(path):
    """What another package uses is in that package's `__init__`, where a reader finds it."""
    deep = [f"{target}.{rest}" for target, rest in ours(path) if rest]
    assert not deep, f"imports {deep} past the package's __init__"


def test_a_package_with_tensorflow_first_checks_the_environment():
    """A missing or wrong package is one sentence then, and not TensorFlow's or Larq's traceback."""
    heavy = {"tensorflow", "larq", "larq_compute_engine"}
    for package in PACKAGE.glob("*/__init__.py"):
        files = package.parent.rglob("*.py")
        modules = {module.split(".")[0] for path in files for module in top_level_imports(path)}
        if modules & heavy and package.parent.name != "cli":
            assert top_level_imports(package)[0] == "s2bnn_tf.checked", package


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path != QUANTIZER],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_nothing_needs_what_leaves_tensorflow(path):
    tree = ast.parse(path.read_text())
    named = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    named |= {f"{module}.{name}" for module, name in imports(path)}
    assert not [name for name in named if f"{name}.".startswith(tuple(f"{x}." for x in LEAVING))]


def test_every_package_has_a_place_in_the_order():
    rooms = {room(path) for path in FILES} - TOP_LEVEL
    assert rooms == LEVEL.keys()


def test_every_exception_to_the_rules_is_needed():
    used = {
        (package, place)
        for path in FILES
        for module, _ in imports(path)
        if (package := module.split(".")[0]) in ONLY_IN
        for place in ONLY_IN[package]
        if inside(path, {place})
    }
    assert used == {(package, place) for package, places in ONLY_IN.items() for place in places}


def test_the_runtime_does_not_know_the_package():
    """Nor do its tests; its benchmarks build the networks that they measure with it."""
    runtime = ROOT / "runtime"
    for path in (*runtime.glob("s2bnn_runtime/*.py"), *runtime.glob("t*/**/*.py")):
        packages = {module.split(".")[0] for module, _ in imports(path)}
        assert "s2bnn_tf" not in packages, path


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
