"""Who uses the kernels: whatever trains a binary student, or counts and times its steps."""

from __future__ import annotations

import pytest

from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig
from s2bnn_tf.layers.native import library
from s2bnn_tf.training import build_pretrainer, count_step_memory


@pytest.fixture
def recipe() -> Config:
    return Config(
        data=DataConfig(source="digits", image_size=32, batch_size=16),
        student=StudentConfig(backbone="reactnet", stem="small", width=0.25, embedding_dim=8),
        objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0, queue_size=64),
    )


def test_a_step_that_is_built_uses_them(recipe, kernels, monkeypatch):
    monkeypatch.setattr(library, "_loaded", None)
    build_pretrainer(recipe, steps_per_epoch=1)
    assert library._loaded is not None


def test_a_step_that_is_counted_uses_them_and_needs_less_memory(recipe, kernels, monkeypatch):
    ours = count_step_memory(recipe).by_purpose()["tensors"]
    monkeypatch.setattr(library, "_loaded", None)
    monkeypatch.setenv("S2BNN_NATIVE", "0")
    assert ours < 0.9 * count_step_memory(recipe).by_purpose()["tensors"]
