"""The notebooks in examples/ are clean, and run.

With nbclient and ipykernel (`make test-extras`) they run in a kernel, as in Jupyter; without them
the code of their cells runs in one Python program.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text("utf-8"))["cells"]


def code_of(path: Path) -> str:
    code = ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "code"]
    return "\n\n".join(code)


def test_they_are_there():
    assert {path.stem for path in NOTEBOOKS} == {"layers", "new_objective", "own_photos"}


@each_notebook
def test_a_notebook_is_clean_and_explains_itself(path):
    found = cells(path)
    assert found[0]["cell_type"] == "markdown" and "".join(found[0]["source"]).startswith("# ")
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in found)
    ast.parse(code_of(path))
    lines = [line for cell in found for line in "".join(cell["source"]).splitlines()]
    assert max(map(len, lines)) <= 100


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    if importlib.util.find_spec("nbclient") and importlib.util.find_spec("ipykernel"):
        outputs = run_in_a_kernel(path, tmp_path)
        if path.stem != "layers":  # progress is a bar, and the encoder a table
            assert "<progress value=" in outputs and "report.html" in outputs
        assert ("kNN" in outputs) == (path.stem == "own_photos")  # the one that has classes
        return
    done = subprocess.run(
        [sys.executable, "-c", code_of(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def run_in_a_kernel(path: Path, folder: Path) -> str:
    """Run a notebook, and return the HTML of its outputs."""
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=900, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output["data"].get("text/html", "") for output in outputs if "data" in output)
