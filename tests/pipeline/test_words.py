"""`fit --words`: a student in its teacher's space, and classes named in words."""

from __future__ import annotations

import platform
import re
import zipfile

import numpy as np
import pytest

from s2bnn_tf.config import Config, DataConfig, ObjectiveConfig, StudentConfig
from s2bnn_tf.data import open_source
from s2bnn_tf.errors import UserError
from s2bnn_tf.evaluation import extract_features, word_agreement
from s2bnn_tf.pipeline import Options, run_fit
from s2bnn_tf.reading import read_json
from s2bnn_tf.runs import LoadedEncoder, leave_untrained
from s2bnn_tf.teachers import in_words, read_words, teacher_space


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A small network with random weights, which tells pictures apart by color."""
    config = Config(
        data=DataConfig(image_size=32),
        student=StudentConfig(backbone="resnet18", stem="small", width=0.125),
        objective=ObjectiveConfig(contrastive_weight=1.0, distillation_weight=0.0),
    )
    return leave_untrained(config, tmp_path_factory.mktemp("runs") / "teacher").path


@pytest.fixture(scope="module")
def vectors(teacher, crops, tmp_path_factory):
    """The mean of the teacher's features of each folder, as if a text encoder had made them.

    Eight further words are what no picture shows.
    """
    source = open_source(str(crops), "train")
    features, labels = extract_features(LoadedEncoder.open(teacher), source)
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    rows = [units[labels == label].mean(axis=0) for label in range(len(source.class_names))]
    rows += list(np.random.default_rng(0).normal(size=(8, len(rows[0]))))
    names = [*source.class_names, *(f"unseen {number}" for number in range(8))]
    path = tmp_path_factory.mktemp("words") / "vectors.npz"
    arrays = {"names": np.array(names), "sums": np.array(rows, np.float32)}
    arrays |= {"space": np.array(""), "teacher": np.array("")}
    np.savez(path, **arrays, scale=np.float64(20), bias=np.float64(0))
    return path


OPTIONS = {
    "size": "small",
    "overrides": ("steps=3", "data.batch_size=16"),
    "target": f"linux-{platform.machine()}",
}


def test_agreement():
    rows = np.eye(7, 8)
    teacher = np.array([rows[0], rows[1], rows[2], rows[2]])
    student = np.array([rows[0], 2 * rows[3] + rows[1], 2 * rows[3] + rows[2], rows[6]])
    found = word_agreement(student, teacher, rows, list("abcdefg"))
    assert (found["pictures"], found["words"], found["used"]) == (4, 7, 3)
    assert found["top1"] == 0.25 and found["top5"] == 1.0
    assert sorted(found["confused"]) == [["b", "d", 1], ["c", "d", 1], ["c", "g", 1]]


@pytest.mark.slow
def test_words_are_delivered_with_a_threshold_and_an_agreement(teacher, vectors, crops, tmp_path):
    runtime = pytest.importorskip("s2bnn_runtime")
    options = Options(teacher=str(teacher), words=str(vectors), **OPTIONS)
    result = run_fit(str(crops), tmp_path / "run", options, timed=False)
    space = teacher_space(in_words(str(teacher)))
    words, found, name = read_words(tmp_path / "run" / "words.npz")
    assert (found, name, len(words.names)) == (space, "teacher", 14)
    card = read_json(tmp_path / "run" / "student.json", cure="")
    assert card["head"] == "teacher" and card["space"] == space
    classifier = runtime.PrototypeClassifier.load(tmp_path / "run" / "words.npz")
    assert -1 < classifier.threshold <= 1 and classifier.words.pictures is not None
    agreement = result["words"]
    assert 0 <= agreement["top1"] <= agreement["top5"] <= 1
    assert agreement["threshold"] == classifier.threshold
    page = (tmp_path / "run" / "report.html").read_text()
    assert '<section id="words">' in page and "nearest word is the teacher" in page
    section = page.partition('<section id="words">')[2].partition("</section>")[0]
    assert section.count("<h3>") == 12 and '<a href="words.html">' in section
    every = (tmp_path / "run" / "words.html").read_text()
    assert all(f"<h2>{word} <small>" in every for word in words.names)
    counts = np.array(re.findall(r"<small>(\d+) of (\d+)</small>", every), int).sum(axis=0)
    agreed = round(agreement["top1"] * agreement["pictures"])
    assert counts.tolist() == [agreed, agreement["pictures"]]
    if result["paths"]["bundle"]:
        with zipfile.ZipFile(result["paths"]["bundle"]) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
        assert {"student.tflite", "student.json", "words.npz", "encoder.tflite"} <= names
    again = run_fit(str(crops), tmp_path / "run", options, timed=False)
    assert again["words"] == agreement


def refused(crops, output, **options) -> str:
    with pytest.raises(UserError) as error:
        run_fit(str(crops), output, Options(**{**OPTIONS, **options}), timed=False)
    return str(error.value)


def test_what_is_refused_before_work_begins(teacher, vectors, crops, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("cat\n")
    output = tmp_path / "run"
    assert "needs a --teacher" in refused(crops, output, words=str(words))
    known = {"teacher": str(teacher)}
    assert "has no text tower" in refused(crops, output, words=str(words), **known)
    missing = str(tmp_path / "missing.npz")
    assert "There is no file of words" in refused(crops, output, words=missing, **known)
    changes = ("objective.regression_weight=0", "objective.similarity_weight=1")
    said = refused(crops, output, words=str(vectors), overrides=changes, **known)
    assert "--words needs a student that learns its teacher's features" in said
    with np.load(vectors) as arrays:
        other = {**arrays, "space": np.array("elsewhere"), "teacher": np.array("a clip")}
    np.savez(tmp_path / "other.npz", **other)
    said = refused(crops, output, words=str(tmp_path / "other.npz"), **known)
    assert "are of a clip and not of" in said
    assert not (output / "plan.json").exists()
