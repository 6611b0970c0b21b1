"""A sentence where an accuracy says more about its training than about the model."""

from __future__ import annotations

import pytest

from s2bnn_tf.evaluation.hints import training_hint

LEARNED = {"steps": 1000, "loss": 0.3, "classes": 29, "top1": 0.8, "remedy": "give more"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"linear": 0.8}, None),
        ({"steps": 8, "top1": 0.017}, "trained for 8 steps, which is too short to judge by; give"),
        ({"steps": 1}, "trained for 1 step,"),
        ({"loss": 3.3}, r"hardly learned its own training images (loss 3.30, and 3.37 for a guess"),
        ({"linear": 0.81}, "less than the linear probe of the frozen features has (81.0 %)"),
    ],
)
def test_what_is_said(changes, words):
    said = training_hint(**{**LEARNED, **changes})
    assert said is None if words is None else words in said
