"""Groups of pictures: duplicates, clusters, prototypes, and the audit of classes."""

from __future__ import annotations

import numpy as np
import pytest

from s2bnn_runtime import PrototypeClassifier, S2bnnError
from s2bnn_runtime.audit import audit
from s2bnn_runtime.clusters import cluster, far_apart
from s2bnn_runtime.duplicates import duplicates


def units(rows) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def around(center, count: int, seed: int, spread: float = 0.1) -> np.ndarray:
    center = np.asarray(center, np.float64)
    return center + spread * np.random.default_rng(seed).normal(size=(count, len(center)))


def test_duplicates_are_grouped_though_all_pictures_are_alike():
    rng = np.random.default_rng(0)
    rows = 20 + rng.normal(size=(30, 16))  # every cosine is above 0.99
    rows[7] = rows[3] + 0.01 * rng.normal(size=16)
    rows[20] = rows[7] + 0.01 * rng.normal(size=16)
    rows[11] = rows[4]
    groups = duplicates(units(rows).astype(np.float32), 0.95)
    assert [group.members for group in groups] == [[3, 7, 20], [4, 11]]
    assert groups[0].scores[0] == pytest.approx(1, abs=1e-4) and min(groups[0].scores) > 0.95
    equal = duplicates(units(rows[[1, 1, 1]]).astype(np.float32), 0.95)
    assert [group.members for group in equal] == [[0, 1, 2]]
    assert duplicates(units(rows[[1, 2]]).astype(np.float32), 0.95) == []


def test_clusters_are_found_whatever_the_order():
    centers = np.eye(4, 9)
    rows = units(np.concatenate([around(center, 25, seed) for seed, center in enumerate(centers)]))
    truth = np.repeat(np.arange(4), 25)
    order = np.random.default_rng(1).permutation(100)
    members = cluster(rows[order], 4)
    for group in range(4):
        assert len(set(members[truth[order] == group])) == 1
    assert set(members) == {0, 1, 2, 3}
    assert {truth[order][number] for number in far_apart(rows[order], 4)} == {0, 1, 2, 3}
    assert set(cluster(rows[:1].repeat(5, axis=0), 3)) == {0}


def test_a_class_of_two_kinds_needs_two_prototypes(tmp_path):
    classifier = PrototypeClassifier()
    kinds = np.concatenate([around([1, 0, 0], 10, 0), around([-1, 0, 0.2], 10, 1)])
    classifier.enroll("two kinds", kinds)
    classifier.enroll("other", around([0, 1, 0], 10, 2))
    queries = np.concatenate([around([1, 0.3, 0], 20, 3), around([-1, 0.3, 0.2], 20, 4)])

    def right(one):
        return np.mean([p.name == "two kinds" for p in one.predict(queries)])

    before = right(classifier)
    classifier.split("two kinds", 2)
    assert before < 0.8 and right(classifier) == 1
    assert classifier.left_out("two kinds").min() > 0.9
    classifier.save(tmp_path / "classes.npz")
    loaded = PrototypeClassifier.load(tmp_path / "classes.npz")
    assert loaded.predict(queries) == classifier.predict(queries)
    for number in (0, 17):
        with pytest.raises(S2bnnError, match="1 to 16 prototypes"):
            classifier.split("other", number)


def test_left_out_is_a_classifier_enrolled_without_it():
    examples = around([1, 2, 3, 0], 6, 0, 0.5)
    classifier = PrototypeClassifier()
    classifier.enroll("x", examples)
    for number, found in enumerate(classifier.left_out("x")):
        rest = PrototypeClassifier()
        rest.enroll("x", np.delete(examples, number, axis=0))
        assert found == pytest.approx(rest.scores(examples[number : number + 1])[0, 0], abs=1e-6)


def test_a_picture_that_is_there_twice_changes_no_threshold_and_no_verdict():
    once, twice = PrototypeClassifier(), PrototypeClassifier()
    for number, name in enumerate(("x", "y")):
        rows = around(np.eye(8)[number], 20, number, 0.3)
        once.enroll(name, rows)
        for _ in range(2):
            twice.enroll(name, rows)
    np.testing.assert_allclose(twice.left_out("x"), np.tile(once.left_out("x"), 2), atol=1e-6)
    assert twice.calibrated(0.05) == pytest.approx(once.calibrated(0.05), abs=1e-6)
    for found, wanted in zip(audit(twice), audit(once)):
        assert found.margin == pytest.approx(wanted.margin, abs=1e-6)
        assert found.another_helps == wanted.another_helps


def test_one_picture_many_times_is_one_example():
    classifier = PrototypeClassifier()
    classifier.enroll("x", np.tile([1.0, 1.0, 0.0], (5, 1)))
    classifier.enroll("y", around([0, 1, 0], 10, 0))
    np.testing.assert_allclose(classifier.left_out("x"), 0)
    found = audit(classifier)[0]
    assert (found.recognized, found.wrong, found.another_helps) == (1, [], True)


def test_confirmed_pictures_count_once_and_move_the_class():
    classifier = PrototypeClassifier()
    classifier.enroll("x", [[1.0, 0.0]])
    assert classifier.confirm("x", [[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]], ["a", "b", "c"]) == 1
    assert (classifier.counts, classifier.sources("x")) == ({"x": 2}, ["", "b"])
    assert classifier.scores([[1.0, 1.0]])[0, 0] == pytest.approx(1)
    with pytest.raises(S2bnnError, match="no class 'y'"):
        classifier.confirm("y", [[1.0, 0.0]])


def test_a_file_is_bounded_and_what_is_kept_is_a_choice_of_all(tmp_path):
    classifier = PrototypeClassifier()
    sizes = []
    for round_ in range(6):
        rows = around([5, 0, 0, 0], 100, round_)
        classifier.enroll("x", rows, [f"{round_}" for _ in rows])
        classifier.save(tmp_path / "classes.npz")
        sizes.append((tmp_path / "classes.npz").stat().st_size)
    assert classifier.counts == {"x": 600} and len(classifier.examples("x")) == 100
    assert max(sizes) == min(sizes)
    kept = np.bincount([int(source) for source in classifier.sources("x")], minlength=6)
    assert kept.min() >= 5


def test_an_audit_names_what_is_wrong():
    classifier = PrototypeClassifier()
    cats, dogs = around([1, 0, 0, 0], 12, 0), around([0, 1, 0, 0], 12, 1)
    cats[4] = around([0, 1, 0, 0], 1, 2)  # a dog among the cats
    dogs[7] = cats[9]  # the same picture in both
    classifier.enroll("cat", cats, [f"cat-{n}" for n in range(12)])
    classifier.enroll("dog", dogs, [f"dog-{n}" for n in range(12)])
    classifier.enroll("bird", around([0, 0, 1, 0], 1, 3), ["bird-0"])
    cat, dog, bird = audit(classifier)
    assert ("cat-4", "dog") in cat.wrong and cat.confused_with == "dog"
    assert cat.recognized == pytest.approx(1 - len(cat.wrong) / 12)
    assert cat.shared == [("cat-9", "dog")] and dog.shared == [("dog-7", "cat")]
    assert ("dog-7", "cat") in dog.wrong
    assert (bird.examples, bird.wrong, bird.another_helps) == (1, [], True)


def test_an_audit_says_when_there_are_enough_examples():
    few, many = PrototypeClassifier(), PrototypeClassifier()
    for seed, name in enumerate(("a", "b")):
        center = np.eye(40)[seed]
        few.enroll(name, around(center, 8, seed, 0.3))
        many.enroll(name, around(center, 90, seed, 0.02))
    assert [found.another_helps for found in audit(few)] == [True, True]
    assert [found.another_helps for found in audit(many)] == [False, False]


def test_a_file_of_an_earlier_version_works_and_rejects_nothing(tmp_path):
    path = tmp_path / "classes.npz"
    np.savez(
        path,
        names=np.array(["cat", "dog"]),
        sums=np.eye(2, 3) * 5,
        counts=np.array([5, 5]),
        threshold=np.float64(-1),
    )
    classifier = PrototypeClassifier.load(path)
    assert classifier.calibrated(0.05) is None and audit(classifier) == []
    classifier.enter("a model")
    classifier.enroll("cat", np.eye(1, 3))
    classifier.save(path)
    loaded = PrototypeClassifier.load(path)
    assert loaded.counts == {"cat": 6, "dog": 5}
    assert len(loaded.examples("cat")) == 0 and loaded.calibrated(0.05) is None


@pytest.mark.parametrize(
    "change",
    [
        {"kept": np.array([3])},
        {"splits": np.array([0, 1])},
        {"examples": np.zeros((3, 5), np.float32)},
        {"examples": np.full((3, 2), np.nan, np.float32)},
        {"sources": np.array(["a"])},
        {"splits": np.array([1j, 1j])},
        {"kept": np.array([2.0, 1.0])},
        {"space": None},
    ],
)
def test_examples_that_do_not_match_are_refused(change, tmp_path):
    path = tmp_path / "classes.npz"
    classifier = PrototypeClassifier()
    classifier.enroll("a", [[1.0, 0.0], [1.0, 0.1]])
    classifier.enroll("b", [[0.0, 1.0]])
    classifier.save(path)
    with np.load(path) as arrays:
        changed = {**arrays, **change}
    np.savez(path, **{name: value for name, value in changed.items() if value is not None})
    with pytest.raises(S2bnnError, match="classes.npz holds no enrolled classes"):
        PrototypeClassifier.load(path)
