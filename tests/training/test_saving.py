"""A run directory that cannot be written to is reported in one sentence."""

from __future__ import annotations

import pytest
import tensorflow as tf

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.training.saving import writing_to


@pytest.mark.parametrize("what", ["the metrics", "a checkpoint"])
def test_the_sentence_names_what_could_not_be_written(what, tmp_path):
    run = RunDirectory(tmp_path / "file")
    run.path.touch()
    words = f"Cannot write {what} to {run.path}: Not a directory; free some space"
    with pytest.raises(CheckpointError, match=words), writing_to(run, what):
        run.metrics_path.write_text("{}")
    with pytest.raises(CheckpointError, match=words), writing_to(run, what):
        tf.io.write_file(str(run.metrics_path), "{}")
