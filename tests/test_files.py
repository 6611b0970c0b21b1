"""Files appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from s2bnn_tf.files import replace_file, replaced, sha256, write_json, write_text


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
