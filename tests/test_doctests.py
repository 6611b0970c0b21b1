"""The examples in docstrings run and say what they claim."""

from __future__ import annotations

import doctest
import importlib

import larq
import pytest
import tensorflow as tf

import s2bnn_tf.layers
import s2bnn_tf.objectives
from s2bnn_tf.backbones import build_backbone
from s2bnn_tf.backbones.registry import _BUILDERS

MODULES = [
    "s2bnn_tf.backbones.registry",
    "s2bnn_tf.layers.activations",
    "s2bnn_tf.layers.conv",
    "s2bnn_tf.layers.quantizers",
    "s2bnn_tf.objectives.contrastive",
    "s2bnn_tf.objectives.distillation",
    "s2bnn_tf.objectives.queue",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, monkeypatch):
    monkeypatch.setattr("s2bnn_tf.backbones.registry._BUILDERS", dict(_BUILDERS))
    shared = {"keras": tf.keras, "lq": larq, "tf": tf, "build_backbone": build_backbone}
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs=shared)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_public_layer_and_objective_has_an_example():
    for package in (s2bnn_tf.layers, s2bnn_tf.objectives):
        for name in package.__all__:
            assert ">>>" in getattr(package, name).__doc__, name
