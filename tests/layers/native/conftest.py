"""The kernels, compiled once into the user's cache, and used by the tests that ask for them."""

from __future__ import annotations

import shutil
import sys

import pytest

from s2bnn_tf.layers.native import library


@pytest.fixture
def kernels(monkeypatch):
    if sys.platform != "linux" or shutil.which("g++") is None:
        pytest.skip("The kernels for training need g++ on Linux.")
    monkeypatch.setenv("S2BNN_NATIVE", "1")
    monkeypatch.setattr(library, "_loaded", None)
    monkeypatch.setattr(library, "_failed", False)
    assert library.load_kernels()
