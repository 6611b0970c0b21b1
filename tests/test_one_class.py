"""The one-class benchmark: its measure, and a run on the digits."""

from __future__ import annotations

import numpy as np
import one_class
import pytest


def test_auroc_is_a_share_of_pairs():
    rng = np.random.default_rng(0)
    scores, unusual = rng.integers(0, 9, 60).astype(float), rng.random(60) < 0.3
    pairs = scores[unusual][:, np.newaxis] - scores[~unusual]
    assert one_class.auroc(scores, unusual) == pytest.approx(
        np.mean((pairs > 0) + 0.5 * (pairs == 0))
    )


def test_pixels_tell_digits_apart():
    pytest.importorskip("s2bnn_runtime.normal")
    found = one_class.measure({}, "digits", 60, 200)
    assert len(found["pixels"]["gaussian"]) == 10
    assert np.mean(found["pixels"]["gaussian"]) > 0.9
    assert "| pixels | 9" in one_class.make_table(found)
