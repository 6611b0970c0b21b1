"""Classes by example, against a loop over every example."""

import os
import subprocess
import sys

import numpy as np
import pytest

from s2bnn_runtime import PrototypeClassifier, S2bnnError


def blobs(seed: int, count: int, classes: int = 4, dim: int = 6):
    """Examples (N, D) around fixed directions, and their classes."""
    centers = np.random.default_rng(7).normal(size=(classes, dim))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    return centers[labels] * rng.uniform(0.5, 2, (count, 1)) + 0.4 * rng.normal(
        size=(count, dim)
    ), labels


def enrolled(examples, labels, **options) -> PrototypeClassifier:
    classifier = PrototypeClassifier(**options)
    for example, label in zip(examples, labels):  # one by one, in any order
        classifier.enroll(f"class {label}", example[np.newaxis])
    return classifier


def test_predicts_as_a_loop_does():
    examples, labels = blobs(0, 40)
    queries, _ = blobs(1, 50)
    classifier = enrolled(examples, labels)
    for query, prediction in zip(queries, classifier.predict(queries)):
        cosines = {}
        for label in set(labels):
            mean = np.mean([e / np.linalg.norm(e) for e in examples[labels == label]], axis=0)
            cosines[f"class {label}"] = query @ mean / np.linalg.norm(query) / np.linalg.norm(mean)
        assert prediction.name == prediction.nearest == max(cosines, key=cosines.get)
        assert prediction.score == pytest.approx(max(cosines.values()), abs=1e-12)


def test_all_at_once_is_one_by_one_and_length_does_not_matter():
    examples, labels = blobs(2, 30)
    at_once = PrototypeClassifier()
    for label in dict.fromkeys(labels):
        at_once.enroll(f"class {label}", 3 * examples[labels == label])
    queries, _ = blobs(3, 10)
    one_by_one = enrolled(examples, labels)
    np.testing.assert_allclose(at_once.scores(queries), one_by_one.scores(queries), atol=1e-12)
    assert at_once.counts == one_by_one.counts


def test_an_embedding_far_from_all_classes_is_rejected():
    classifier = PrototypeClassifier(threshold=0.9)
    classifier.enroll("x", [[1.0, 0.0]])
    near, far = classifier.predict([[5.0, 0.1], [1.0, 1.0]])
    assert near.name == "x"
    assert far.name is None
    assert far.nearest == "x"
    assert far.score == pytest.approx(np.sqrt(0.5))


def test_a_forgotten_class_is_as_if_never_enrolled():
    examples, labels = blobs(4, 30)
    classifier = enrolled(examples, labels)
    classifier.forget("class 0")
    kept = enrolled(examples[labels != 0], labels[labels != 0])
    queries, _ = blobs(5, 20)
    assert classifier.predict(queries) == kept.predict(queries)
    with pytest.raises(S2bnnError, match="no class 'class 0'"):
        classifier.forget("class 0")


def test_a_loaded_classifier_behaves_like_the_saved_one(tmp_path):
    examples, labels = blobs(6, 30)
    classifier = enrolled(examples, labels, threshold=0.25)
    classifier.save(tmp_path / "classes.npz")
    loaded = PrototypeClassifier.load(tmp_path / "classes.npz")
    for one in (classifier, loaded):
        one.enroll("class 1", examples[:3])
    queries, _ = blobs(7, 20)
    assert loaded.predict(queries) == classifier.predict(queries)
    assert loaded.counts == classifier.counts
    assert [path.name for path in tmp_path.iterdir()] == ["classes.npz"]


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04cut"])
def test_another_file_is_refused(content, tmp_path):
    (tmp_path / "classes.npz").write_bytes(content)
    with pytest.raises(S2bnnError, match="classes.npz is damaged"):
        PrototypeClassifier.load(tmp_path / "classes.npz")


def test_a_pickle_is_not_executed(tmp_path):
    np.savez(tmp_path / "classes.npz", names=np.array([{"a": 1}], dtype=object))
    with pytest.raises(S2bnnError, match="is damaged .names holds Python objects, which are"):
        PrototypeClassifier.load(tmp_path / "classes.npz")


GOOD = {
    "names": np.array(["cat", "dog"]),
    "sums": np.ones((2, 3)),
    "counts": np.array([1, 2]),
    "threshold": np.float64(0.5),
}


@pytest.mark.parametrize(
    "change",
    [
        {"sums": np.float64(3)},
        {"sums": np.ones(2)},
        {"sums": np.full((2, 3), np.inf)},
        {"counts": np.array(["1", "2"])},
        {"counts": np.array([0, 2])},
        {"counts": np.array([1, 2, 3])},
        {"names": np.array(["cat", "cat"])},
        {"names": np.array([1, 2])},
        {"threshold": np.array([0.5])},
        {"threshold": np.float64(2)},
    ],
)
def test_arrays_that_are_no_classes_are_refused(change, tmp_path):
    np.savez(tmp_path / "classes.npz", **GOOD | change)
    with pytest.raises(S2bnnError, match="holds no enrolled classes: its arrays do not match"):
        PrototypeClassifier.load(tmp_path / "classes.npz")


def test_mutated_files_are_read_whole_or_refused_in_one_sentence(tmp_path):
    path = tmp_path / "classes.npz"
    np.savez(path, **GOOD)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        mutant = bytearray(data)
        for at in rng.integers(0, len(mutant), rng.integers(1, 4)):
            mutant[at] = rng.integers(256)
        path.write_bytes(mutant[: rng.integers(len(data) // 2, 2 * len(data))])
        try:
            assert set(PrototypeClassifier.load(path).counts.values()) == {1, 2}
        except S2bnnError as error:
            refused += 1
            assert "\n" not in str(error) and "classes.npz" in str(error)
    assert refused > 1000


ENROLL = """
import sys
from s2bnn_runtime import PrototypeClassifier
sys.stdin.read()  # until all of them are ready
with PrototypeClassifier.edit(sys.argv[1]) as classifier:
    classifier.enroll(sys.argv[2], [[1.0, float(sys.argv[3])]])
"""


def test_no_class_is_lost_when_several_processes_enroll(tmp_path):
    path = tmp_path / "classes.npz"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ENROLL, str(path), f"class {i}", str(i)], stdin=subprocess.PIPE
        )
        for i in range(8)
    ]
    for process in processes:
        process.stdin.close()
    assert [process.wait() for process in processes] == [0] * 8
    counts = PrototypeClassifier.load(path).counts
    assert sorted(counts) == [f"class {i}" for i in range(8)]
    assert [file.name for file in tmp_path.iterdir()] == ["classes.npz"]


def test_a_failed_edit_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "classes.npz"
    with PrototypeClassifier.edit(path) as classifier:
        classifier.enroll("cat", [[1.0, 0.0]])
    before = path.read_bytes()
    with pytest.raises(S2bnnError), PrototypeClassifier.edit(path) as classifier:
        classifier.enroll("dog", [[0.0, 0.0]])
    assert path.read_bytes() == before


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "classes.npz")
    with pytest.raises(S2bnnError, match="classes.npz is not a regular file"):
        PrototypeClassifier.load(tmp_path / "classes.npz")


@pytest.mark.parametrize(
    ("embeddings", "words"),
    [
        (np.zeros((1, 2)), "zero or not finite"),
        (np.full((1, 2), np.nan), "zero or not finite"),
        (np.ones(2), r"shape \(N, 2\), not \(2,\)"),
        (np.ones((1, 3)), "have 2 numbers each, and the model gives 3"),
        (np.ones((0, 2)), r"shape \(N, 2\), not \(0, 2\)"),
    ],
)
def test_impossible_embeddings_are_refused(embeddings, words):
    classifier = PrototypeClassifier()
    with pytest.raises(S2bnnError, match="no class is enrolled"):
        classifier.predict(np.ones((1, 2)))
    classifier.enroll("x", [[1.0, 0.0]])
    for method in (classifier.predict, lambda e: classifier.enroll("x", e)):
        with pytest.raises(S2bnnError, match=words):
            method(embeddings)
    assert classifier.counts == {"x": 1}
