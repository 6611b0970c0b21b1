"""A linear classifier and its file: complete, without pickle, and named if it is damaged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.runs import LinearProbe


def test_save_and_load(tmp_path):
    probe = LinearProbe(
        np.arange(6, dtype=np.float32).reshape(3, 2),
        np.array([0.5, -1], np.float32),
        ("größer", "<script>"),
        {"C": 0.1},
        {"top1": 0.5},
    )
    path = tmp_path / "eval" / "linear_probe.npz"
    probe.save(path)
    loaded = LinearProbe.load(path)
    np.testing.assert_array_equal(loaded.kernel, probe.kernel)
    np.testing.assert_array_equal(loaded.bias, probe.bias)
    assert (loaded.class_names, loaded.parameters, loaded.metrics) == (
        probe.class_names,
        probe.parameters,
        probe.metrics,
    )
    assert [file.name for file in path.parent.iterdir()] == ["linear_probe.npz"]


def test_load_never_unpickles(tmp_path):
    path = tmp_path / "probe.npz"
    np.savez(path, kernel=np.array([{}], dtype=object))
    with pytest.raises(
        CheckpointError,
        match="probe.npz is damaged .*holds Python objects.*run `s2bnn eval linear` again",
    ):
        LinearProbe.load(path)


@pytest.mark.parametrize("content", [b"", b"no numbers here", b"PK\x03\x04cut"])
def test_load_names_a_bad_file(tmp_path, content):
    path = tmp_path / "probe.npz"
    with pytest.raises(CheckpointError, match="There is no linear classifier at .*probe.npz"):
        LinearProbe.load(path)
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match="probe.npz is damaged .*run `s2bnn eval linear` again"
    ):
        LinearProbe.load(path)


def test_measurements_are_added_to_a_copy(tmp_path):
    probe = LinearProbe(np.zeros((3, 2), np.float32), np.zeros(2, np.float32), ("a", "b"), {})
    assert probe.metrics == {}
    measured = dataclasses.replace(probe, metrics={"top1": 0.5})
    assert (probe.metrics, measured.metrics) == ({}, {"top1": 0.5})
    assert measured.kernel is probe.kernel
    measured.save(tmp_path / "probe.npz")
    assert LinearProbe.load(tmp_path / "probe.npz").metrics == {"top1": 0.5}
