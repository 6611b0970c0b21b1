"""Every command in the documentation runs, or says what it needs that a test does not have.

The comment `<!-- needs: ... -->` before a block marks it. Marked or not, the command line of each
command fits the program that it calls, and its scripts, recipes and targets exist.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.cli import main
from s2bnn_tf.config import load_config

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = {
    *("network", "a board", "a gpu", "a wheel of the runtime", "onnxruntime", "torch"),
    *("minutes", "hours"),
}
BLOCK = re.compile(
    r"(?:<!-- needs: ([a-z ]+) -->\n\n)?^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL
)
ASSIGNMENT = re.compile(r"\w+=")
# Words in capitals that stand for a value of the reader's, where the program checks the value.
PLACEHOLDERS = {"N": "1", "HOST": "tensorflow", "ROW": "teacher"}
SHELL = {"source", "cd", "eval", "export"}  # of the shell itself
# Checked by their command lines, and run by runtime/tests and by make itself.
RUN_VERBS = (
    *("enroll", "classify", "confirm", "forget", "normal", "inspect"),
    *("index", "search", "duplicates", "cluster"),
)
RUN_ELSEWHERE = {"s2bnn-run", "make"}


@dataclass(frozen=True)
class Command:
    """One command of a page, and what its block needs beside this machine."""

    page: Path
    needs: str | None
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return Path(self.words[0]).name if self.words else ""

    @property
    def arguments(self) -> list[str]:
        return [PLACEHOLDERS.get(word, word) for word in self.words[1:]]

    def __str__(self) -> str:
        return f"{self.page.name}: {shlex.join(self.words)}"


def read_commands(page: Path) -> Iterator[Command]:
    for needs, language, text in BLOCK.findall(page.read_text("utf-8")):
        if language == "sh":
            for words in split_commands(text):
                yield Command(page, needs or None, tuple(words))


def split_commands(text: str) -> Iterator[list[str]]:
    """The words of each command, without comments, assignments and wrappers such as srun."""
    text = re.sub(r"(^|\s)#.*", r"\1", text).replace("\\\n", "")
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&\n")
    lexer.whitespace, lexer.whitespace_split = " \t", True
    words: list[str] = []
    for word in [*lexer, "\n"]:
        if word.strip("&\n"):
            words.append(word)
            continue
        if words[:1] == ["taskset"]:
            words = words[3:]
        elif words[:1] == ["srun"]:
            words = words[words.index("s2bnn") :]
        while words and ASSIGNMENT.match(words[0]):
            words = words[1:]
        if words:
            yield words
        words = []


COMMANDS = [command for page in PAGES for command in read_commands(page)]


def test_the_words_of_a_command_are_found() -> None:
    text = (
        "A=1 make -C x \\\n  y=2 && cd z  # w\n\n"
        "taskset -c 0 python p.py --q 'r s\nt'\n"
        "srun -n 2 s2bnn u\n"
    )
    assert [*split_commands(text)] == [
        ["make", "-C", "x", "y=2"],
        ["cd", "z"],
        ["python", "p.py", "--q", "r s\nt"],
        ["s2bnn", "u"],
    ]


def test_blocks_are_marked_with_known_words() -> None:
    assert len(COMMANDS) > 80
    for page in PAGES:
        text = page.read_text("utf-8")
        found = [needs for needs, _, _ in BLOCK.findall(text) if needs]
        assert set(found) <= NEEDS
        marks = re.findall("^<!-- needs:", text, re.MULTILINE)
        assert len(found) == len(marks), "a mark without a block"
        assert all(language for _, language, _ in BLOCK.findall(text)), f"a block in {page.name}"


def test_no_page_has_indented_blocks() -> None:
    """They have no language, so they would be neither checked nor colored."""
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        assert not re.search(r"(?<!\S)\n\n    \S", text), page.name


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_line_fits_its_program(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check = {
        "s2bnn": check_s2bnn,
        "s2bnn-run": check_s2bnn_run,
        "python": check_script,
        "make": check_make,
        "cmake": check_cmake,
    }.get(command.program)
    if check is not None:
        monkeypatch.chdir(tmp_path)
        check(command)
    else:
        assert command.needs or command.program in SHELL, "nothing tests it: mark what it needs"


def check_s2bnn(command: Command) -> None:
    context = main.make_context("s2bnn", list(command.arguments))
    found: click.Command = main
    while isinstance(found, click.Group) and context.protected_args + context.args:
        name, inner, rest = found.resolve_command(context, context.protected_args + context.args)
        assert name is not None and inner is not None
        context = inner.make_context(name, rest, parent=context)
        found = inner
    for value in context.params.values():
        if isinstance(value, Path) and value.parts[:1] == ("configs",):
            recipe = value.with_name(value.name.replace("RECIPE", "teacher"))
            load_config(ROOT / recipe, context.params.get("overrides", ()))


def check_s2bnn_run(command: Command) -> None:
    """The program itself reads the line; it then finds no model (1), or a wrong line (2)."""
    first = command.arguments[0]
    assert first in (*RUN_VERBS, "MODEL") or ".tflite" in first
    code = "import sys; from s2bnn_runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    line = [sys.executable, "-c", code, *command.arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtime")}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr


def check_script(command: Command) -> None:
    script = next((word for word in command.arguments if word.endswith(".py")), None)
    if script is None:  # python -m MODULE
        assert command.needs
        return
    in_bundle = ROOT / "s2bnn_tf/export/bundle_files" / script
    asked = {word for word in command.arguments if word.startswith("--")}
    assert asked <= options_of(in_bundle if in_bundle.exists() else ROOT / script), script


@cache
def options_of(script: Path) -> set[str]:
    """The long options that a script adds to its parser."""
    calls = (n for n in ast.walk(ast.parse(script.read_text("utf-8"))) if isinstance(n, ast.Call))
    added = (n for n in calls if ast.unparse(n.func).endswith(".add_argument"))
    return {
        str(argument.value)
        for call in added
        for argument in call.args
        if isinstance(argument, ast.Constant) and str(argument.value).startswith("--")
    }


def check_make(command: Command) -> None:
    words = [word for word in command.arguments if "=" not in word]
    folder = words.pop(words.index("-C") + 1) if "-C" in words else "."
    makefile = (ROOT / folder / "Makefile").read_text("utf-8")
    for target in words:
        if target != "-C":
            assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target


def check_cmake(command: Command) -> None:
    words = command.arguments
    if "-S" in words:
        sources = ROOT / words[words.index("-S") + 1]
        options = re.findall(r"-D(S2BNN_\w+)", " ".join(words))
        assert all(option in (sources / "CMakeLists.txt").read_text() for option in options)
    if "--target" in words:
        assert words[words.index("--target") + 1] in (ROOT / "runtime/CMakeLists.txt").read_text()


# Pages whose commands belong together, since the later ones use the files of the earlier ones.
DOCS = ROOT / "docs"
CHAINS = (
    (ROOT / "README.md",),
    (DOCS / "quickstart.md",),
    (DOCS / "commands.md", DOCS / "evaluation.md", DOCS / "data.md", DOCS / "api" / "index.md"),
)
# What makes a command take seconds: the same work on less data and smaller networks.
SMALLER = {
    "train": [
        f"--set={key}"
        for key in (
            "epochs=1",
            "data.batch_size=32",
            "data.image_size=32",
            "student.stem=small",
            "student.width=0.0625",
            "objective.queue_size=64",
            "optimizer.warmup_epochs=0",
            "monitor.knn_every=0",
        )
    ],
    "finetune": ["--epochs", "1"],
    "calibration": ["--views", "64"],
    "benchmark": ["--runs", "2"],
}


def test_every_command_without_a_mark_runs() -> None:
    """Those of the chains run below, and those of other programs where they are at home."""
    pages = {page for chain in CHAINS for page in chain}
    for command in COMMANDS:
        if command.needs is None and command.program not in SHELL | RUN_ELSEWHERE:
            assert command.program == "s2bnn" and command.page in pages, str(command)


@pytest.mark.slow
@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain[0].stem)
def test_the_commands_of_a_page_run(chain: tuple[Path, ...], tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(40):
            pixels = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    for page in chain:
        for command in read_commands(page):
            if command.program == "s2bnn" and not command.needs:
                smaller = [word for verb in command.arguments[:2] for word in SMALLER.get(verb, ())]
                run_python(["-m", "s2bnn_tf", *command.arguments, *smaller], tmp_path)
        for _, language, text in BLOCK.findall(page.read_text("utf-8")):
            if language == "python":
                run_python(["-c", text], tmp_path)


def run_python(arguments: list[str], directory: Path) -> None:
    line = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        line, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stderr}"
