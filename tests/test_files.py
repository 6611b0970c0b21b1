"""Files appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from s2bnn_tf.files import (
    replace_file,
    replaced,
    save_arrays,
    sha256,
    write_folder,
    write_json,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "knn.json"
    write_json(path, {"top1": 0.5})

    def fail(file):
        file.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, fail)
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"top1": float("nan")})
    assert json.loads(path.read_text()) == {"top1": 0.5}
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "new" / "folders" / "knn.json", fail)
    with pytest.raises(TypeError):
        write_folder(tmp_path / "new" / "source", {"a.c": None})
    assert os.listdir(tmp_path) == ["knn.json"]


def test_several_files_are_replaced_together(tmp_path):
    model, card = tmp_path / "new" / "a.weights.h5", tmp_path / "new" / "a.json"
    with replaced(model, card) as (partial_model, partial_card):
        assert partial_model.name.endswith(".weights.h5")  # Keras goes by the name's end
        partial_model.write_bytes(b"model")
        assert not model.exists()
        partial_card.write_text("card")
    assert (model.read_bytes(), card.read_text()) == (b"model", "card")
    assert sorted(os.listdir(model.parent)) == ["a.json", "a.weights.h5"]


def test_files_are_as_readable_as_any_other(tmp_path):
    (tmp_path / "plain").touch()
    write_text(tmp_path / "knn.json", "ü")
    assert (tmp_path / "knn.json").read_bytes() == "ü".encode()
    assert (tmp_path / "knn.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_checksum_of_more_than_one_block(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


ARRAYS = {"rows": np.arange(12.0).reshape(3, 4), "names": np.array(["a", "ü"]), "count": 7}


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_are_those_that_numpy_writes(compressed, tmp_path):
    save_arrays(tmp_path / "ours.npz", ARRAYS, compressed=compressed)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "numpys.npz", **ARRAYS)
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "numpys.npz").read_bytes()
    with pytest.raises(ValueError, match="Object arrays"):
        save_arrays(tmp_path / "ours.npz", {"objects": np.array([None])})
    assert set(os.listdir(tmp_path)) == {"ours.npz", "numpys.npz"}


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from s2bnn_tf.files import save_arrays

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    save_arrays(Path(sys.argv[1]), {"a": np.zeros(1000), "b": np.zeros(100_000)})
except OSError as error:
    sys.exit(f"{error.filename}: {error.strerror}")
"""


def test_arrays_that_do_not_fit_are_one_error(tmp_path):
    """Nothing is printed about an archive that was left open, and nothing is left."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "a.npz"], capture_output=True, text=True
    )
    assert done.stderr == f"{tmp_path / 'a.npz'}: File too large\n"
    assert not os.listdir(tmp_path)
