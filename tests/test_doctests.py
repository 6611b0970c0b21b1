"""The examples in docstrings run and show what they claim."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import larq
import pytest
import tensorflow as tf

import s2bnn_tf.layers
import s2bnn_tf.objectives
from s2bnn_tf.backbones import build_backbone
from s2bnn_tf.backbones.registry import _BACKBONES
from s2bnn_tf.data.registry import _SOURCES
from s2bnn_tf.objectives.registry import _OBJECTIVES

PACKAGE = Path(s2bnn_tf.layers.__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>>" in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, monkeypatch, tmp_path):
    for registry in (_BACKBONES, _OBJECTIVES, _SOURCES):
        monkeypatch.setattr(registry, "entries", dict(registry.entries))
    monkeypatch.chdir(tmp_path)
    shared = {"keras": tf.keras, "lq": larq, "tf": tf, "build_backbone": build_backbone}
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs=shared)
    assert result.attempted > 0, "the module has >>> where doctest does not look"
    assert result.failed == 0


def test_examples_are_found():
    assert {"s2bnn_tf.layers.conv", "s2bnn_tf.objectives.queue"} <= set(MODULES)


def test_every_public_layer_and_objective_has_an_example():
    for package in (s2bnn_tf.layers, s2bnn_tf.objectives):
        for name in package.__all__:
            assert ">>>" in getattr(package, name).__doc__, name
