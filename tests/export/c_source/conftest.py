"""Networks that are exported as C source, compiled with gcc, and called through ctypes."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from s2bnn_tf.export import export_c

ROOT = Path(__file__).resolve().parents[3]
KERNELS = ROOT / "s2bnn_tf/export/c_source/files/s2bnn_kernels.c"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")


def run_compiler(*arguments: object) -> None:
    done = subprocess.run(["gcc", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def read_macros(header: Path, name: str = "MODEL") -> dict[str, int]:
    found = re.findall(rf"#define {name}_(\w+) (\d+)\b", header.read_text())
    return {key: int(value) for key, value in found}


class Compiled:
    """An exported network in a shared library, compiled without a warning."""

    def __init__(self, model: bytes | Path, folder: Path, flags: tuple[str, ...], kernels: Path):
        if isinstance(model, bytes):
            (folder / "given.tflite").write_bytes(model)
            model = folder / "given.tflite"
        self.card = export_c(model, folder / "source")
        self.macros = read_macros(folder / "source" / "model.h")
        library = folder / "model.so"
        files = [folder / "source" / "model.c", kernels]
        run_compiler(*STRICT, *flags, "-fPIC", "-shared", "-o", library, *files, "-lm")
        self.library = ctypes.CDLL(str(library))

    def run(self, x: np.ndarray) -> list[np.ndarray]:
        assert x.nbytes == self.macros["INPUT_BYTES"]
        self._array("model_input", x.size)[:] = x.ravel()
        assert self.library.model_run() == 0
        outputs = []
        for number in range(self.macros["OUTPUTS"]):
            suffix = f"_{number}" if number else ""
            size = self.macros[f"OUTPUT{suffix}_BYTES"] // 4
            outputs.append(self._array(f"model_output{suffix}", size).copy())
        return outputs

    def _array(self, function: str, size: int) -> np.ndarray:
        getter = getattr(self.library, function)
        getter.restype = ctypes.POINTER(ctypes.c_float)
        return np.ctypeslib.as_array(getter(), (size,))


@pytest.fixture(scope="session")
def kernels(tmp_path_factory) -> Callable[..., Path]:
    """Compiles the kernels, which are the same for every model, once for each set of flags."""
    done: dict[tuple[str, ...], Path] = {}

    def make(flags: tuple[str, ...]) -> Path:
        if flags not in done:
            target = tmp_path_factory.mktemp("kernels") / "kernels.o"
            run_compiler(*STRICT, *flags, "-fPIC", "-c", "-o", target, KERNELS)
            done[flags] = target
        return done[flags]

    return make


@pytest.fixture
def compiled(tmp_path, kernels) -> Callable[..., Compiled]:
    """Exports and compiles a model: `compiled(bytes or path, *flags)`."""
    count = 0

    def make(model: bytes | Path, *flags: str) -> Compiled:
        nonlocal count
        count += 1
        folder = tmp_path / f"compiled{count}"
        folder.mkdir()
        flags = flags or ("-O1",)
        return Compiled(model, folder, flags, kernels(flags))

    return make


@pytest.fixture(scope="session")
def graphs() -> ModuleType:
    """What builds small `.tflite` files op by op, from the tests of the runtime."""
    spec = importlib.util.spec_from_file_location("graphs", ROOT / "runtime/tests/graphs.py")
    module = importlib.util.module_from_spec(spec)
    # its dataclasses look their module up
    sys.modules.setdefault("graphs", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def student() -> Path:
    """A small encoder that `s2bnn convert` has written, with real weights."""
    return ROOT / "tests/compat/data/0.1.0/student.tflite"


@pytest.fixture(scope="session")
def classifier() -> Path:
    """The same with a dense layer in 8 bits."""
    return ROOT / "tests/compat/data/0.1.0/classifier.tflite"


@pytest.fixture(scope="session")
def cc() -> Callable[..., None]:
    """Runs gcc, which must succeed."""
    return run_compiler
