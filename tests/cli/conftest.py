"""The command line as a user has it: a process, its exit code, and what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What libraries print of themselves, which a user need not see.
NOISE = ("Warning", "Traceback", "tensorflow/", "external/", "cuda", "rebuild TensorFlow")
# What the C++ of TensorFlow 2.20 adds
NOISE += ("WARNING: ", "0000 00:00:", "deprecated")


@dataclass(frozen=True)
class Result:
    """What a command printed."""

    stdout: str
    stderr: str

    @property
    def json(self) -> dict:
        return json.loads(self.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def s2bnn():
    """Run `s2bnn ARGUMENTS...` to its end; it must succeed and keep the terminal clean.

    With a `code`, it must end with that exit code.
    """

    def run(*arguments: object, code: int = 0) -> Result:
        command = [sys.executable, "-m", "s2bnn_tf", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        for text in (done.stdout, done.stderr):
            assert not [word for word in NOISE if word in text], text
        return Result(done.stdout, done.stderr)

    return run
