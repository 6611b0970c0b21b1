"""Whole runs in half precision, on real images: near float32, and resumed exactly."""

from __future__ import annotations

import numpy as np
import pytest

from s2bnn_tf.training import pretrain

pytestmark = pytest.mark.both_sets

LOSSES = ("loss", "contrastive", "distillation")


class Crash(Exception):
    """An exception that no code of ours expects."""


def crash(student) -> float:
    raise Crash


@pytest.mark.slow
@pytest.mark.parametrize("precision, tolerance", [("float16", 0.01), ("bfloat16", 0.03)])
def test_a_run_in_half_precision(
    precision, tolerance, both, change, uninterrupted, tmp_path, metrics, state, assert_same_run
):
    half = change(both, precision=precision)
    run = pretrain(half, tmp_path / "whole")
    for mine, exact in zip(metrics(run), metrics(uninterrupted), strict=True):
        for name in LOSSES:
            np.testing.assert_allclose(mine[name], exact[name], rtol=tolerance, err_msg=name)
        # The signs of the weights keep flipping: their latent values are not rounded to half.
        np.testing.assert_allclose(mine["flip_rate"], exact["flip_rate"], atol=0.02)
        assert mine["flip_rate"] > 0
        assert mine["gradient_norm"] > 0  # no step was skipped
    kept = state(run)
    assert {str(value.dtype) for name, value in kept.items() if "student" in name} == {"float32"}
    assert any("loss_scale" in name for name in kept) == (precision == "float16")

    with pytest.raises(Crash):  # before the last checkpoint
        pretrain(
            change(half, monitor={"knn_every": 3}), tmp_path / "resumed", monitors={"knn": crash}
        )
    assert_same_run(pretrain(half, tmp_path / "resumed"), run, epochs=[1, 2, 3])
