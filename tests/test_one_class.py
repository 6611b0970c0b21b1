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


def test_an_encoder_of_each_class_is_measured_on_its_class(monkeypatch):
    """What takes the place of the encoders is good for the class in its name alone."""
    pytest.importorskip("s2bnn_runtime.normal")
    rng = np.random.default_rng(0)
    asked = []

    def samples(path, source):
        if path is None:
            return {"gaussian": np.ones((len(source), 1, 2), np.float32)}
        asked.append(path)
        own = source.labels == int(path.removeprefix("class-"))
        values = rng.normal(0, 1, (len(source), 1, 4)) + np.where(own, 0, 20)[:, None, None]
        return {"gaussian": values.astype(np.float32)}

    monkeypatch.setattr(one_class, "samples", samples)
    found = one_class.measure({"own": "class-{}"}, "digits", 40, 100)
    assert sorted(set(asked)) == [f"class-{label}" for label in range(10)] and len(asked) == 20
    assert min(found["own"]["gaussian"]) > 0.99
    assert found["pixels"]["gaussian"] == [0.5] * 10
