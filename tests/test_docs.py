"""The documentation builds, names every verb and key, and its code runs."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import typing
from pathlib import Path

import click
import pytest

from s2bnn_tf import config
from s2bnn_tf.cli import main

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def verbs(group: click.Group, prefix: str = "s2bnn"):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


@pytest.mark.parametrize(("verb", "command"), [*verbs(main)])
def test_every_verb_has_an_example_and_stands_in_the_docs(verb, command):
    assert f"{verb} " in command.help.split("Example:")[1]
    assert f"`{verb}" in (DOCS / "commands.md").read_text()


def test_every_key_stands_in_the_docs():
    text = (DOCS / "recipes.md").read_text()
    hints = typing.get_type_hints(config.Config)
    sections = [s for s in hints.values() if dataclasses.is_dataclass(s)] + [config.TeacherConfig]
    for section in sections:
        for field in dataclasses.fields(section):
            assert f"| `{field.name}` |" in text, field.name


@pytest.mark.parametrize("page", ["layers.md", "backbones.md"])
def test_the_examples_run(page, monkeypatch):
    from s2bnn_tf.backbones import registry

    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {})


def test_the_site_builds_strictly(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "quickstart.html").is_file()
