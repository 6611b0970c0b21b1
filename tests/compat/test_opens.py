"""What an earlier version wrote opens: run directory, pack, card, bundle and prototypes.

Each folder below data/ was written by the version it is named after, with make.py. A test that
fails here is mended in the package, never in the data.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from s2bnn_tf.cli import main
from s2bnn_tf.data import open_source
from s2bnn_tf.report import write_run_report
from s2bnn_tf.runs import open_encoder

pytestmark = pytest.mark.both_sets

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = sorted((Path(__file__).parent / "data").iterdir())
ONE_IMAGE = 1 / 18 + 1e-6  # of the test split: sums may be rounded differently elsewhere


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda path: path.name)
def written(request, tmp_path_factory) -> Path:
    """A copy of the files that an earlier version wrote."""
    return shutil.copytree(request.param, tmp_path_factory.mktemp("written") / "files")


@pytest.fixture(autouse=True)
def beside_the_files(written, monkeypatch):
    """The recipes name the teacher and the pack relative to this folder."""
    monkeypatch.chdir(written)


def s2bnn(*arguments: object) -> str:
    done = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def last_json(output: str) -> dict:
    return json.loads(output.splitlines()[-1])


def as_written(name: str) -> dict:
    return json.loads(Path(name).read_text())


def is_usable() -> bool:
    try:
        import s2bnn_runtime

        s2bnn_runtime.library_path()
    except (ImportError, OSError):
        return False
    return True


needs_runtime = pytest.mark.skipif(not is_usable(), reason="s2bnn_runtime is not installed")


def run_python(*arguments: object) -> str:
    """Run a script or module with the runtime that this process imports."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pack_is_read():
    train, test = (open_source("tfrecord:pack", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (36, 18)
    assert tuple(train.class_names) == ("one", "two", "zero")
    assert np.bincount(train.labels).tolist() == [12, 12, 12]


def test_a_run_is_evaluated_as_before():
    before = as_written("student/eval/knn.json")["top1"]
    now = last_json(s2bnn("eval", "knn", "student", "--json"))["top1"]
    assert now == pytest.approx(before, abs=ONE_IMAGE)


def test_a_tflite_and_its_card_are_evaluated_as_before():
    before = as_written("student.eval/knn.json")["top1"]
    now = last_json(s2bnn("eval", "knn", "student.tflite", "--runtime", "lce", "--json"))["top1"]
    assert now == pytest.approx(before, abs=ONE_IMAGE)


def test_a_run_and_its_tflite_give_the_same_features():
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    of_run = open_encoder("student").features(images)
    of_file = open_encoder("student.tflite", runtime="lce").features(images)
    np.testing.assert_allclose(of_file, of_run, rtol=1e-3, atol=1e-3)


def test_a_run_is_converted_with_its_linear_probe(tmp_path):
    s2bnn("convert", "student", tmp_path / "new.tflite", "--head", "linear")
    card = json.loads((tmp_path / "new.json").read_text())
    before = as_written("classifier.json")
    assert card["labels"] == before["labels"]
    assert card["input"] == before["input"] and card["output"] == before["output"]


def test_a_report_is_written_from_all_results():
    report = write_run_report("student").read_text()
    assert "linear probe" in report.lower()
    assert report.count("data:image/") >= 2, "the gallery and the mistakes have pictures"


@needs_runtime
def test_a_bundle_tests_itself():
    selftest = run_python(Path("bundle/classify.py").resolve(), "--selftest")
    assert json.loads(selftest.splitlines()[0])["cosine"] > 0.999


@needs_runtime
def test_enrolled_classes_are_found_as_before():
    before = as_written("prototypes.json")["images"]
    pictures = [image["path"] for image in before]
    command = ["classify", "student.tflite", "prototypes.npz", *pictures, "--json"]
    now = [json.loads(line) for line in run_python("-m", "s2bnn_runtime", *command).splitlines()]
    assert [image["class"] for image in now] == [image["class"] for image in before]
    scores = [image["score"] for image in before]
    assert [image["score"] for image in now] == pytest.approx(scores, abs=1e-3)


def test_a_run_is_resumed(written, tmp_path, monkeypatch):
    """One more epoch starts from the last checkpoint, with the teacher."""
    shutil.copytree(written, tmp_path / "files")
    monkeypatch.chdir(tmp_path / "files")
    before = Path("student/metrics.jsonl").read_text().splitlines()
    s2bnn("train", "student/config.yaml", "--output-dir", "student", "--set", "epochs=21")
    after = Path("student/metrics.jsonl").read_text().splitlines()
    assert after[: len(before)] == before
    assert [json.loads(line)["epoch"] for line in after[len(before) :]] == [21]
