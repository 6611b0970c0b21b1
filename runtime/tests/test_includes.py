"""Includes in src/ go one way, and every directory has a place in the order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent.parent / "src"
FILES = sorted(path for path in SOURCES.rglob("*") if path.suffix in (".cc", ".h"))

# From below to above: a file includes headers of its own directory and of earlier ones.
ORDER = ("base", "graph", "plan", "kernels", "run", "host")
LEVEL = {name: level for level, name in enumerate(ORDER)}


def includes(path: Path) -> list[Path]:
    """The headers that a file includes with quotes, relative to src/."""
    names = re.findall(r'^\s*#\s*include\s+"(.+)"', path.read_text(), re.MULTILINE)
    return [Path(name) for name in names]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_a_file_includes_only_what_is_below_it(path):
    directory = path.relative_to(SOURCES).parts[0]
    for header in includes(path):
        assert (SOURCES / header).is_file(), f'"{header}" is not a path below src/'
        assert LEVEL[header.parts[0]] <= LEVEL[directory], f"{header} is above {directory}/"


def test_every_directory_has_a_place_in_the_order():
    assert {path.name for path in SOURCES.iterdir()} == set(ORDER)


def test_the_parser_finds_includes():
    """Every directory but the lowest one uses another one."""
    for directory in ORDER[1:]:
        files = [path for path in FILES if path.relative_to(SOURCES).parts[0] == directory]
        used = {header.parts[0] for path in files for header in includes(path)}
        assert used - {directory}, directory
