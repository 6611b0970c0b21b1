"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from s2bnn_runtime.errors import S2bnnError
from s2bnn_runtime.files import check_output, write_arrays
from s2bnn_runtime.heatmaps import write_heatmap
from s2bnn_runtime.page import check_page, write_page
from s2bnn_runtime.regions import Regions


def test_a_link_stays_a_link_and_a_file_keeps_its_permissions(tmp_path):
    target, link = tmp_path / "folder" / "classes.npz", tmp_path / "link.npz"
    target.parent.mkdir()
    umask = os.umask(0o027)
    try:
        write_arrays(target, {"a": np.zeros(3)})
    finally:
        os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o640
    target.chmod(0o664)
    link.symlink_to(target)
    write_arrays(link, {"a": np.ones(3)})
    assert link.is_symlink() and np.load(target)["a"].sum() == 3
    assert target.stat().st_mode & 0o777 == 0o664
    assert os.listdir(target.parent) == ["classes.npz"]


def test_a_file_that_is_not_written_whole_is_not_there(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    page, picture = tmp_path / "page.html", tmp_path / "heat.png"
    with pytest.raises(S2bnnError, match=f"^{page}: No space left on device"):
        write_page(page, "Duplicates", [])
    parts = [np.zeros((4, 4, 3), np.uint8)]
    with pytest.raises(S2bnnError, match=f"^{picture}: No space left on device"):
        write_heatmap(picture, parts, Regions(), np.zeros((2, 2)), 1.0)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(S2bnnError, match=f"^{nowhere} does not exist"):
        check_output(nowhere / "index.npz")
    with pytest.raises(S2bnnError, match=f"^{nowhere} does not exist"):
        check_page(nowhere / "page.html")
