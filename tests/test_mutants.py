"""Every format that the package writes, mutated: it opens, or one sentence says what is wrong.

The files are those of tests/compat, whose formats must keep opening. Each mutant has a few bytes
changed, cut, doubled or inserted, by a seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from s2bnn_tf.config import load_config
from s2bnn_tf.data import open_source
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation import Gallery, Mistakes, read_results
from s2bnn_tf.report.charts import read_metrics
from s2bnn_tf.runs import CheckpointStore, LinearProbe, build_encoder, load_encoder, run_directory
from s2bnn_tf.tflite import read_card, read_graph
from s2bnn_tf.training.metrics_log import keep_metrics

VERSION = sorted((Path(__file__).parent / "compat" / "data").iterdir())[-1]


def open_pack(path: Path) -> None:
    for split in ("train", "test"):
        source = open_source(f"tfrecord:{path.parent}", split)
        for index in range(len(source)):
            source.read(index)


# The file, what opens it, and the number of mutants.
FORMATS: dict[str, tuple[str, Callable[[Path], object], int]] = {
    "recipe": ("student/config.yaml", load_config, 300),
    "metrics": ("student/metrics.jsonl", read_metrics, 1000),
    "kept metrics": ("student/metrics.jsonl", lambda path: keep_metrics(path, epochs=1), 300),
    "knn": ("student/eval/knn.json", lambda path: read_results(path.parents[1], "knn"), 1000),
    "probe": ("student/eval/linear_probe.npz", LinearProbe.load, 600),
    "gallery": ("student/eval/gallery.npz", Gallery.load, 400),
    "mistakes": ("student/eval/mistakes.npz", Mistakes.load, 400),
    "manifest": ("student/checkpoints", lambda path: CheckpointStore(path).newest(), 300),
    "weights": ("student/encoder.weights.h5", lambda p: load_encoder(p.parent), 40),
    "card": ("student.json", read_card, 1000),
    "model": ("student.tflite", read_graph, 300),
    "summary": ("pack/train.json", open_pack, 300),
    "index": ("pack/train-00000-of-00001.npz", open_pack, 300),
    "records": ("pack/train-00000-of-00001.tfrecord", open_pack, 100),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_mutant_opens_or_is_refused_in_one_sentence(name, tmp_path, mutants, monkeypatch):
    monkeypatch.setattr(run_directory, "build_encoder", cache(build_encoder))  # for all mutants
    file, read, count = FORMATS[name]
    folder = shutil.copytree(VERSION, tmp_path / "files")
    path = folder / file
    changed = next(path.glob("*.json")) if path.is_dir() else path
    refused = 0
    read(path)
    for mutant in mutants(changed.read_bytes(), count):
        changed.write_bytes(mutant)
        try:
            read(path)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error).strip() and len(str(error)) < 1000
    assert refused or name in ("metrics", "kept metrics", "manifest")  # these read what is whole
