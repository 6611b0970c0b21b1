"""One epoch of the real Fashion-MNIST, where Debian has installed dataset-fashion-mnist."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_one_epoch_of_fashion_mnist(s2bnn, tmp_path):
    recipe = "configs/fashion_mnist/teacher.yaml"
    short = ("epochs=1", "optimizer.warmup_epochs=0", "monitor.knn_every=0", "student.width=0.125")
    changes = [part for change in short for part in ("--set", change)]
    s2bnn("train", recipe, "--output-dir", tmp_path, *changes)
    result = s2bnn("eval", "knn", tmp_path, "--json").json
    assert (result["n_train"], result["n_test"], result["classes"]) == (60000, 10000, 10)
    assert result["top1"] > 0.6
