"""Interpolated positions are those of PyTorch's own function, called as the publishers call it."""

from __future__ import annotations

import numpy as np
import pytest

from s2bnn_tf.backbones.positions import by_scale, by_size

torch = pytest.importorskip("torch")

# Multiples of DINOv2's patch of 14 pixels: the usual one, its own grid of 518 pixels, and those
# where a size that is computed from a rounded factor loses a position; 16 is below the grid of 37.
PIXELS = (14, 224, 518, 546, 602, 1092, 1204)
GRID = 37


@pytest.mark.parametrize("pixels", PIXELS)
@pytest.mark.parametrize("rule", [by_scale, by_size])
def test_the_matrix_is_what_pytorch_does(rule, pixels):
    count = pixels // 14
    # Along the other axis the size stays, which by the scale factor is an interpolation too.
    learned = np.random.default_rng(0).normal(size=(GRID, GRID))
    if rule is by_scale:
        options = {"scale_factor": ((count + 0.1) / GRID, (GRID + 0.1) / GRID)}
    else:
        options = {"size": (count, GRID), "antialias": True}
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(learned)[None, None], mode="bicubic", **options
    )[0, 0]
    assert expected.shape == (count, GRID)
    found = rule(GRID, count) @ learned @ rule(GRID, GRID).T
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
