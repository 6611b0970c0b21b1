"""Where the kernels for training are kept, and what is said where there are none."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from s2bnn_tf.files import sha256
from s2bnn_tf.layers.native import library


@pytest.fixture
def said(monkeypatch, tmp_path, caplog):
    """What `load_kernels` says with an empty cache; nothing is loaded before or after."""
    monkeypatch.setenv("S2BNN_NATIVE", "1")
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path))
    monkeypatch.setattr(library, "_loaded", None)
    monkeypatch.setattr(library, "_failed", False)
    monkeypatch.setattr(library.sys, "platform", "linux")
    caplog.set_level(logging.INFO, library.__name__)
    return lambda: (library.load_kernels(), caplog.text.replace("\n", " "))


def test_without_a_compiler(said, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    loaded, text = said()
    assert not loaded and "kernels: there is no g++ to compile faster ones with." in text


def test_a_compiler_that_fails(said, monkeypatch, tmp_path):
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'out of stars' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    loaded, text = said()
    assert not loaded and "kernels: out of stars" in text
    assert not list((tmp_path / "kernels").glob("*"))


def test_a_library_that_others_can_write_is_not_loaded(said, tmp_path):
    folder = tmp_path / "kernels"
    folder.mkdir()
    path = folder / f"{library._identity()}.so"
    path.write_bytes(b"no library")
    path.with_suffix(".sha256").write_text(sha256(path))
    assert library._is_whole(path)
    for mode in (0o666, 0o664):
        path.chmod(mode)
        assert not library._is_whole(path)


def test_a_library_that_was_cut_is_compiled_again(said, monkeypatch):
    if shutil.which("g++") is None:
        pytest.skip("The kernels for training need g++.")
    mask = os.umask(0)  # others may not write to it all the same
    monkeypatch.setattr(library.tf, "load_op_library", lambda path: path)
    try:
        assert said()[0]
        path = Path(library._loaded)
        whole = path.read_bytes()
        path.write_bytes(whole[:5000])
        monkeypatch.setattr(library, "_loaded", None)
        assert said()[0] and path.read_bytes() == whole
    finally:
        os.umask(mask)
    assert not any(p.stat().st_mode & 0o022 for p in (path, path.parent))


def test_a_cache_that_is_open_to_everyone_is_not_trusted(said, monkeypatch, tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("The kernels for training need g++.")
    monkeypatch.setattr(library, "_compile", lambda compiler, output: output.write_bytes(b"any"))
    tmp_path.chmod(0o777)
    loaded, text = said()
    assert not loaded and f"others can write to {tmp_path}; set S2BNN_CACHE" in text


def test_it_can_be_forbidden(said, monkeypatch):
    monkeypatch.setenv("S2BNN_NATIVE", "0")
    assert said() == (False, "")
