"""`--math none`: square roots and exponentials without a C library."""

import ctypes
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner

from s2bnn_tf.cli import main

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O1", "-fPIC")
ALLOWED = {"memcpy", "memset"}  # compilers call the second by themselves


@pytest.fixture(scope="module")
def exported(student, tmp_path_factory):
    folder = tmp_path_factory.mktemp("math") / "c"
    done = CliRunner().invoke(main, ["export-c", str(student), str(folder), "--math", "none"])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def library(exported, cc):
    """The functions, each on an array."""
    lines = ['#include "s2bnn_math.h"']
    for name in ("exp", "tanh", "sqrt"):
        lines += [f"void {name}_all(float *x, int n);", f"void {name}_all(float *x, int n) {{"]
        lines += [f"  for (int i = 0; i < n; ++i) x[i] = s2bnn_{name}_of(x[i]);", "}"]
    (exported / "all.c").write_text("\n".join(lines) + "\n")
    cc(*FLAGS, "-shared", "-o", exported / "all.so", exported / "all.c")
    return ctypes.CDLL(str(exported / "all.so"))


def call(library, name, values):
    found = np.array(values, np.float32)
    pointer = found.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    getattr(library, f"{name}_all")(pointer, len(found))
    return found


@pytest.mark.parametrize(
    ("name", "low", "high"), [("exp", -87, 88.7), ("tanh", -12, 12), ("sqrt", 0, 1e6)]
)
def test_values(library, name, low, high):
    x = np.concatenate(
        [
            np.linspace(low, high, 100_001),
            np.geomspace(1e-37, max(high, 1), 20_001),
            [0.0, 0.6, 3e38 if name == "sqrt" else 1.0],
        ]
    ).astype(np.float32)
    x = x[x <= high if name != "sqrt" else slice(None)]
    wanted = getattr(np, name)(x.astype(np.float64))
    np.testing.assert_allclose(call(library, name, x), wanted, rtol=1e-6)


def test_what_is_not_finite(library):
    edges = np.array([np.inf, -np.inf, np.nan, 200, -200, -0.0], np.float32)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(call(library, "exp", edges), np.exp(edges))
        np.testing.assert_array_equal(call(library, "tanh", edges), np.tanh(edges))
        np.testing.assert_array_equal(call(library, "sqrt", edges), np.sqrt(edges))
    np.testing.assert_allclose(call(library, "sqrt", [1e-44, 5e-42]), np.sqrt([1e-44, 5e-42]), 0.05)


def test_nothing_else_is_called(exported, cc, tmp_path):
    for name in ("model", "s2bnn_kernels"):
        cc(*FLAGS, "-O2", "-c", "-o", tmp_path / f"{name}.o", exported / f"{name}.c")
    own, needed = set(), set()
    for name in ("model", "s2bnn_kernels"):
        done = subprocess.run(
            ["nm", tmp_path / f"{name}.o"], capture_output=True, text=True, check=True
        )
        for line in done.stdout.splitlines():
            kind, symbol = line.split()[-2:]
            (needed if kind == "U" else own).add(symbol)
    assert needed - own - {"_GLOBAL_OFFSET_TABLE_"} <= ALLOWED
    build = (exported / "Makefile").read_text() + (exported / "CMakeLists.txt").read_text()
    assert "-lm" not in build
    assert "PUBLIC m" not in build
