"""`s2bnn summary` predicts the memory of training, without a teacher too."""

from __future__ import annotations

import json

from click.testing import CliRunner

from s2bnn_tf.cli import main
from s2bnn_tf.recipes import config_path

RECIPE = str(config_path("digits/distillation_step1.yaml"))


def test_the_memory_of_a_recipe_whose_teacher_is_not_there_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["summary", RECIPE, "--json"])
    assert done.exit_code == 0, done.output
    counts = json.loads(done.stdout.splitlines()[-1])
    memory = counts["memory"]
    assert counts["float_macs"] > 0
    parts = ("program", "weights", "images", "views", "tensors")
    assert sum(memory[f"{part}_bytes"] for part in parts) == memory["total_bytes"]
    assert memory["batch_size"] == 64 <= memory["largest_batch"]
    assert memory["accumulation_steps"] == 1
    assert "train a teacher first" in memory["teacher_left_out"]


def test_it_is_shown_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = CliRunner().invoke(main, ["summary", RECIPE]).stdout
    assert "Training with batches of 64 needs about 0." in text
    assert "The teacher is not counted. teacher.weights: runs/digits/teacher is neither" in text
    assert "are available, so the largest batch is" in text
