from __future__ import annotations

import os
from importlib.util import find_spec

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if find_spec("tf_keras"):  # Larq needs Keras 2, which TensorFlow 2.20 has in this package
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import pytest
from ci_skips import pytest_sessionfinish, pytest_terminal_summary  # noqa: F401

import s2bnn_runtime
from s2bnn_runtime import Interpreter, S2bnnError, find_host


def runs_here(kernels: str) -> bool:
    try:
        s2bnn_runtime.load_delegate(host=find_host("tensorflow"), kernels=kernels)
    except S2bnnError:
        return False
    return True


ALL_KERNELS = ("reference", "portable", "avx2", "avx512", "avx512_vpopcntdq", "neon")
KERNELS = tuple(kernels for kernels in ALL_KERNELS if runs_here(kernels))


@pytest.fixture(scope="session")
def host():
    """TensorFlow's own interpreter, from which Larq Compute Engine was built."""
    return find_host("tensorflow")


@pytest.fixture
def run(host):
    """A function that runs a model; its keyword arguments go to `Interpreter`."""

    def run(model: bytes, *inputs: np.ndarray, **options):
        return Interpreter(model, host=host, **options).predict(*inputs)

    return run


@pytest.fixture
def lce():
    """A function that runs a model in Larq Compute Engine's interpreter."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter

    def run(model: bytes, *inputs: np.ndarray, **options):
        interpreter = LceInterpreter(model, num_threads=1, **options)
        return interpreter.predict(inputs[0] if len(inputs) == 1 else list(inputs))

    return run
