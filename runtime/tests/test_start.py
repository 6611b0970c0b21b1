"""The first moments of `s2bnn-run`, in real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import s2bnn_runtime

RUNTIME = Path(__file__).parents[1]
# A NumPy during whose import Ctrl-C is pressed
INTERRUPTED = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
raise ImportError("went on")
"""
PROJECT = (RUNTIME / "pyproject.toml").read_text()
(SCRIPT,) = re.findall(r'^s2bnn-run = "(\S+):main"', PROJECT, re.M)
INSTALLED = f"import sys; from {SCRIPT} import main; sys.exit(main())"  # as pip writes it


def run(folder: Path, *options: str, ignore: bool = False) -> subprocess.CompletedProcess[str]:
    """Run Python with the modules of a folder before all others."""
    path = os.pathsep.join([str(folder), str(RUNTIME), os.environ.get("PYTHONPATH", "")])
    action = signal.SIG_IGN if ignore else signal.default_int_handler
    return subprocess.run(
        [sys.executable, *options],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        preexec_fn=lambda: signal.signal(signal.SIGINT, action),
    )


@pytest.mark.parametrize("how", [["-m", "s2bnn_runtime"], ["-c", INSTALLED]])
def test_ctrl_c_ends_it_quietly_while_numpy_is_loaded(how, tmp_path):
    (tmp_path / "numpy.py").write_text(INTERRUPTED)
    ended = run(tmp_path, *how, "--help")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Stopped.\n")
    # Where Ctrl-C is ignored, as in the background of a shell script, it stays ignored.
    assert "went on" in run(tmp_path, *how, "--help", ignore=True).stderr


def test_the_package_has_its_names_and_loads_numpy_with_the_first(tmp_path):
    loaded = "import sys, s2bnn_runtime; print('numpy' in sys.modules)"
    assert run(tmp_path, "-c", loaded).stdout == "False\n"
    for name in s2bnn_runtime.__all__:
        assert callable(getattr(s2bnn_runtime, name))
    assert dir(s2bnn_runtime) == sorted(s2bnn_runtime.__all__)
    with pytest.raises(AttributeError, match="'s2bnn_runtime' has no attribute 'nothing'"):
        _ = s2bnn_runtime.nothing
