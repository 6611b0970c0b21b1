"""Lines have at most 100 columns, in every language."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 100
SUFFIXES = {
    *(".c", ".cc", ".cff", ".css", ".h", ".java", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"),
}
NAMES = {"CMakeLists.txt", "Makefile", "extras", "run"}


def tracked_files() -> list[Path]:
    """The files that git tracks or would add, or all files where this is not a git checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return [path for path in ROOT.rglob("*") if not {".venv", "build"} & set(path.parts)]
    return [ROOT / name for name in done.stdout.splitlines()]


def cannot_be_wrapped(line: str, path: Path) -> bool:
    """Whether a line is a table or holds a link in Markdown, or is a URL in any language."""
    if path.suffix == ".md" and (line.lstrip().startswith("|") or "](" in line):
        return True
    return any(len(word) > COLUMNS - 20 for word in line.split() if "://" in word)


def test_lines_fit():
    long = []
    for path in tracked_files():
        if (path.suffix in SUFFIXES or path.name in NAMES) and path.is_file():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if len(line) > COLUMNS and not cannot_be_wrapped(line, path):
                    long.append(f"{path.relative_to(ROOT)}:{number}: {len(line)} columns")
    assert not long, "\n".join(long)
