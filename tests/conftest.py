"""A quiet TensorFlow and fixed seeds for every test, and mutants of files."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version

import numpy as np
import pytest

from s2bnn_tf.environment import quiet_tensorflow

quiet_tensorflow()
# TensorFlow's kernels are the reference; tests/layers/native compares ours with them.
os.environ.setdefault("S2BNN_NATIVE", "0")


@pytest.fixture(autouse=True)
def fixed_seeds():
    random.seed(0)
    np.random.seed(0)
    # a test that has not imported TensorFlow by now need not wait for it
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)


def pytest_collection_modifyitems(items):
    """Skip what one of the two tested sets cannot do, with a reason that CI expects there."""
    installed = version("tensorflow")
    for item in items:
        for mark in item.iter_markers("only_with"):
            tensorflow, what = mark.args
            if not installed.startswith(f"{tensorflow}."):
                reason = f"only with TensorFlow {tensorflow}: {what}"
                item.add_marker(pytest.mark.skip(reason=reason))


def make_mutants(data: bytes, count: int) -> Iterator[bytes]:
    """The bytes of a file with a few of them changed, cut, doubled or inserted, by a seed."""
    rng = np.random.default_rng(7)
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(max(len(mutant), 1)))
            match rng.integers(6):
                case 0:
                    mutant[at : at + 1] = bytes([rng.integers(256)])
                case 1:
                    mutant[at : at + 4] = rng.choice([b"\xff\xff\xff\x7f", b"\0\0\0\0", b"-1e9"])
                case 2:
                    del mutant[at : at + int(rng.integers(1, 9))]
                case 3:
                    mutant[at:at] = rng.bytes(rng.integers(1, 9))
                case 4:
                    mutant[at:at] = mutant[at : at + int(rng.integers(1, 200))]
                case 5:
                    del mutant[at:]
        yield bytes(mutant)


@pytest.fixture(scope="session")
def mutants() -> Callable[[bytes, int], Iterator[bytes]]:
    return make_mutants
