"""The documentation builds, is complete, and names only what exists."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from s2bnn_tf import config
from s2bnn_tf.cli import main

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
FILE_ENDINGS = (".yaml", ".json", ".md", ".tflite", ".npz", ".zip", ".html")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {
    "data": config.DataConfig,
    "student": config.StudentConfig,
    "teacher": config.TeacherConfig,
    "objective": config.ObjectiveConfig,
    "optimizer": config.OptimizerConfig,
    "monitor": config.MonitorConfig,
}
# Messages of other programs that the page on troubleshooting quotes.
FOREIGN_MESSAGES = ("Encountered unresolved custom op: LceQuantize",)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def inline_code(page: Path) -> list[str]:
    """The code within the sentences and tables of a page."""
    return re.findall(r"`([^`\n]+)`", FENCED.sub("", page.read_text("utf-8")))


def verbs(group: click.Group, prefix: str = "s2bnn") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def options_of(command: click.Command) -> set[str]:
    return {name for option in command.params for name in option.opts + option.secondary_opts}


@pytest.mark.parametrize(("verb", "command"), [*verbs(main)])
def test_every_verb_has_an_example_and_is_documented(verb: str, command: click.Command) -> None:
    assert command.help is not None
    assert f"{verb} " in command.help.split("Example:")[1]
    entry = re.search(rf"^- `{verb}\b.*(\n  .*)*", (DOCS / "commands.md").read_text(), re.M)
    assert entry is not None
    asked = set(re.findall(r"`(?:[^`]* )?(--[\w-]+)", entry[0]))
    assert asked <= options_of(command) | {"--json"}


def test_every_key_is_documented() -> None:
    text = (DOCS / "recipes.md").read_text()
    hints = typing.get_type_hints(config.Config)
    sections = [s for s in hints.values() if dataclasses.is_dataclass(s)] + [config.TeacherConfig]
    for section in sections:
        for field in dataclasses.fields(section):
            assert f"| `{field.name}` |" in text, field.name


@each_page
def test_a_page_names_verbs_and_options_that_exist(page: Path) -> None:
    """Only the verb and the options, since a sentence need not name all arguments."""
    for code in inline_code(page):
        if not code.startswith("s2bnn "):
            continue
        words, command = code.split()[1:], typing.cast(click.Command, main)
        while words and isinstance(command, click.Group) and not words[0].startswith("-"):
            assert words[0] in command.commands, code
            command = command.commands[words.pop(0)]
        asked = {word for word in words if word.startswith("--")}
        assert asked <= options_of(command) | {"--help"}, code


@each_page
def test_a_page_names_files_and_keys_that_exist(page: Path) -> None:
    for code in inline_code(page):
        if re.fullmatch(r"(s2bnn_tf|runtime|configs|benchmarks|tests|docs)/[\w./-]*", code):
            assert (ROOT / code).exists() or "/build/" in code, code
        key = re.match(r"(\w+)\.(\w+)(?=[=:]|$)", code)
        if key and key[1] in SECTIONS and not code.endswith(FILE_ENDINGS):
            assert key[2] in {field.name for field in dataclasses.fields(SECTIONS[key[1]])}, code


@each_page
def test_code_fits_on_the_page(page: Path) -> None:
    for block in FENCED.findall(page.read_text("utf-8")):
        assert max(map(len, block.splitlines())) <= 80, block


@each_page
def test_the_examples_in_python_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but those that take minutes, which tests of their own run in a brief form."""
    found = re.findall(
        r"(<!-- needs: minutes -->\n\n)?```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL
    )
    blocks = [block for needs, block in found if not needs]
    if blocks:
        from s2bnn_tf.backbones.registry import _BACKBONES
        from s2bnn_tf.data.registry import _SOURCES
        from s2bnn_tf.objectives.registry import _OBJECTIVES

        for registry in (_BACKBONES, _OBJECTIVES, _SOURCES):
            monkeypatch.setattr(registry, "entries", dict(registry.entries))
        exec("\n".join(blocks), {})


def test_the_links_of_the_readme_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
        assert targets
        assert not [target for target in targets if not (ROOT / target).exists()]


def test_the_symptoms_are_messages_that_exist() -> None:
    """An ellipsis in a quoted message is a part that varies."""
    code = [*ROOT.glob("s2bnn_tf/**/*.py"), *ROOT.glob("runtime/s2bnn_runtime/*.py")]
    scripts = [(ROOT / name).read_text("utf-8") for name in ("Makefile", ".ci/find-python")]
    messages = [*FOREIGN_MESSAGES, *scripts]
    for path in code:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                messages.append(node.value)
    symptoms = re.findall(r"^### (.*)$", (DOCS / "troubleshooting.md").read_text("utf-8"), re.M)
    quoted = [quote for symptom in symptoms for quote in re.findall(r"`([^`]+)`", symptom)]
    assert len(quoted) > 15
    parts = [part.strip() for quote in quoted for part in quote.split("...")]
    assert not [part for part in parts if not any(part in message for message in messages)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as a site; building it with a broken link or name fails."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package)
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory


def test_the_site_shows_its_navigation_on_a_small_screen(site: Path) -> None:
    assert (site / "quickstart.html").is_file()
    styles = "".join(path.read_text() for path in site.glob("assets/stylesheets/main.*.css"))
    assert "68.75em" in styles
    assert "76.25em" not in styles


def packages() -> list[str]:
    """The packages with a page in the API reference."""
    return [
        name
        for page in sorted((DOCS / "api").glob("*.md"))
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M)
    ]


def test_every_package_has_a_page_in_the_api_reference() -> None:
    public = {f"s2bnn_tf.{path.parent.name}" for path in ROOT.glob("s2bnn_tf/*/__init__.py")}
    assert public - set(packages()) == {"s2bnn_tf.cli"}


@pytest.mark.parametrize("package", packages())
def test_every_public_name_is_in_the_api_reference(site: Path, package: str) -> None:
    page = site / "api" / f"{package.removeprefix('s2bnn_').removeprefix('tf.')}.html"
    anchors = set(re.findall(r'id="([^"]+)"', page.read_text("utf-8")))
    for name in exported(package):
        assert f"{package}.{name}" in anchors, name


def exported(package: str) -> list[str]:
    """The names in `__all__`; the public classes and functions of a module without it."""
    parent = ROOT if package.startswith("s2bnn_tf") else ROOT / "runtime"
    path = parent.joinpath(*package.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    body = ast.parse(file.read_text("utf-8")).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return typing.cast(list[str], ast.literal_eval(node.value))
    named = (node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef))
    return [name for name in named if not name.startswith("_")]


def test_every_verb_is_a_documented_call() -> None:
    rows = re.findall(r"^\| `(s2bnn [^`]+)` \| (.*) \|$", (DOCS / "python.md").read_text(), re.M)
    assert dict(rows).keys() == {verb for verb, _ in verbs(main)}
    for _, calls in rows:
        for call in re.findall(r"`([\w.]+)`", calls):
            module, _, name = call.rpartition(".")
            package = importlib.import_module(module)
            assert name in getattr(package, "__all__", [name]), call
            assert getattr(package, name).__doc__, call
