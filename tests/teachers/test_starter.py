"""The name `starter` on the command line of `s2bnn`: a copy in the cache, and what opens it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import s2bnn_tf.starter
from s2bnn_tf.cli import main
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.starter import copy_starter, is_starter
from s2bnn_tf.teachers import locate_model

COMPATIBLE = Path(__file__).resolve().parents[1] / "compat" / "data" / "0.1.0"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, and a package of the runtime that has a starter."""
    package = tmp_path / "s2bnn_runtime"
    package.mkdir()
    for ending in ("tflite", "json"):
        shutil.copyfile(COMPATIBLE / f"student.{ending}", package / f"starter.{ending}")
    spec = SimpleNamespace(submodule_search_locations=[str(package)])
    monkeypatch.setattr(s2bnn_tf.starter, "find_package", lambda: spec)
    monkeypatch.setenv("S2BNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_copied_once_with_its_card(cache):
    path = locate_model("starter")
    assert path == cache / "starter" / "starter.tflite"
    assert sorted(p.name for p in path.parent.iterdir()) == ["starter.json", "starter.tflite"]
    before = path.stat()
    assert locate_model("starter").stat().st_mtime_ns == before.st_mtime_ns
    content = path.read_bytes()
    path.write_bytes(content[:-1])  # a copy that was damaged, or is of another version
    assert locate_model("starter").read_bytes() == content


def test_a_path_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter").mkdir()
    assert not is_starter("starter") and not is_starter("starter.tflite")


def test_what_is_wrong_is_said_in_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="set S2BNN_CACHE to another folder"):
        copy_starter(tmp_path / "file")
    monkeypatch.setattr(s2bnn_tf.starter, "find_package", lambda: None)
    with pytest.raises(CheckpointError, match="ships with s2bnn_runtime"):
        copy_starter(tmp_path)


def test_embed_and_export_c(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    output = tmp_path / "vectors.npz"
    arguments = ["embed", "starter", str(tmp_path / "a.png"), "--output", str(output), "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    features = np.load(output)["features"]
    assert features.ndim == 2 and np.isfinite(features).all()
    done = CliRunner().invoke(main, ["export-c", "starter", str(tmp_path / "c"), "--json"])
    assert done.exit_code == 0, done.output
    card = json.loads(done.stdout.splitlines()[-1])
    assert card["flash_bytes"] < 600_000
