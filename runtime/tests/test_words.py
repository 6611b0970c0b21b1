"""Classes named in words: pictures beside them, rejection, search, and files of 100,000."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import complain, say
from test_few_shot import encoder, lines, pictures  # noqa: F401  (fixtures)

from s2bnn_runtime import PrototypeClassifier, S2bnnError
from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.words import Words

DIM, NAMES = 64, [f"kind {number}" for number in range(10)]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


class Cones:
    """Words and pictures of ten kinds, in two cones as those of a CLIP."""

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)
        kinds = self.rng.normal(size=(10, DIM))
        self.kinds = kinds - kinds.mean(axis=0)
        self.of_words, self.of_pictures = 20 * np.linalg.qr(self.rng.normal(size=(DIM, 2)))[0].T
        self.words = unit(self.of_words + self.kinds)

    def pictures(self, kind: int, count: int):
        noise = 0.5 * self.rng.normal(size=(count, DIM))
        return unit(self.of_pictures + self.kinds[kind] + noise)

    def classifier(self, known: bool = True) -> PrototypeClassifier:
        every = np.concatenate([self.pictures(kind, 20) for kind in range(10)])
        mean = every.mean(axis=0) if known else None
        classifier = PrototypeClassifier()
        classifier.add_words(
            NAMES, self.words, Words("a clip", 100.0, 0.0, self.words.mean(axis=0), mean)
        )
        return classifier


def accuracies(classifier: PrototypeClassifier, cones: Cones) -> list[float]:
    found = []
    for kind, name in enumerate(NAMES):
        predictions = classifier.predict(cones.pictures(kind, 50))
        found.append(np.mean([p.name == name for p in predictions]))
    return found


def test_pictures_of_one_class_leave_the_other_nine_theirs(tmp_path):
    cones = Cones()
    classifier = cones.classifier()
    before = accuracies(classifier, cones)
    assert np.mean(before) > 0.9
    classifier.enroll(NAMES[0], cones.pictures(0, 8))
    classifier.save(tmp_path / "mine.npz")
    after = accuracies(PrototypeClassifier.load(tmp_path / "mine.npz"), cones)
    assert after[0] >= before[0]
    assert np.subtract(after, before)[1:].min() > -0.05
    # Without the shift, the one class takes the pictures of all.
    naive = PrototypeClassifier()
    for name, word in zip(NAMES, cones.words):
        naive.enroll(name, word[np.newaxis])
    naive.enroll(NAMES[0], cones.pictures(0, 8))
    assert np.mean(accuracies(naive, cones)[1:]) < 0.2


def test_a_class_of_pictures_alone_stands_among_words():
    cones = Cones(1)
    classifier = cones.classifier()
    classifier.forget(NAMES[3])
    before = accuracies(classifier, cones)
    classifier.enroll(NAMES[3], cones.pictures(3, 8))
    after = accuracies(classifier, cones)
    assert before[3] == 0 and after[3] > 0.9
    assert np.subtract(after, before)[[0, 1, 2, 4, 5, 6, 7, 8, 9]].min() > -0.05


def test_a_word_counts_as_one_example():
    cones = Cones(2)
    classifier = cones.classifier()
    classifier.enroll(NAMES[0], cones.pictures(0, 3))
    assert classifier.counts == {NAMES[0]: 4, **dict.fromkeys(NAMES[1:], 1)}
    assert len(classifier.examples(NAMES[0])) == 3
    moved = classifier.words.to_words(classifier.examples(NAMES[0]))
    wanted = unit(cones.words[0] + moved.sum(axis=0))
    np.testing.assert_allclose(classifier.vector(NAMES[0]), wanted, atol=1e-6)
    left_out = classifier.left_out(NAMES[0])
    rest = unit(cones.words[0] + moved[1] + moved[2])
    assert left_out[0] == pytest.approx(classifier.examples(NAMES[0])[0] @ rest, abs=1e-6)


def test_words_are_never_rejected_because_of_other_classes():
    cones = Cones(3)
    classifier = cones.classifier()
    classifier.enroll(NAMES[0], cones.pictures(0, 8))
    thresholds = classifier.calibrated(0.05)
    assert thresholds[NAMES[0]] > 0 and thresholds[NAMES[1]] == -1


def test_pictures_need_a_known_mean():
    cones = Cones(4)
    classifier = cones.classifier(known=False)
    with pytest.raises(S2bnnError, match="do not say where pictures are.*--pictures"):
        classifier.enroll(NAMES[0], cones.pictures(0, 2))


@pytest.mark.parametrize("key", ["word_mean", "picture_mean", "scale", "is_word", "teacher"])
def test_a_damaged_file_is_one_sentence(key, tmp_path):
    path = tmp_path / "words.npz"
    Cones().classifier().save(path)
    with np.load(path) as file:
        arrays = dict(file)
    for wrong in (np.full(3, np.nan), None):
        changed = {**arrays, key: wrong}
        if wrong is None:
            del changed[key]
            if key == "word_mean":  # then it is a file without words
                continue
        if key == "teacher" and wrong is not None:
            continue  # any text will do
        np.savez(path, **changed)
        with pytest.raises(S2bnnError, match="do not match"):
            PrototypeClassifier.load(path)


@pytest.fixture
def words(encoder, pictures, tmp_path):  # noqa: F811
    """Words for the colors, made of pictures: for them, the two cones are one."""
    embedder = Embedder(encoder)
    names = ("dark red", "green", "blue")
    rows = [
        embedder(sorted((pictures / name.split()[-1]).iterdir())).mean(axis=0) for name in names
    ]
    mean = unit(np.array(rows, np.float64)).mean(axis=0)
    classifier = PrototypeClassifier()
    classifier.enter(embedder.space)
    classifier.add_words(names, rows, Words("colors", 10.0, 0.0, mean, mean))
    classifier.save(tmp_path / "words.npz")
    return tmp_path / "words.npz"


def test_the_verbs_take_words(encoder, pictures, words, tmp_path, capsys):  # noqa: F811
    asked = ("classify", encoder, words, *sorted(pictures.iterdir()), "--json")
    found = lines(say(capsys, *asked))
    assert [row["class"] for row in found] == ["blue"] * 4 + ["green"] * 4 + ["dark red"] * 4
    assert "the words have no threshold" in say(capsys, *asked[:-1])
    index = tmp_path / "index.npz"
    say(capsys, "index", encoder, pictures, index)
    for precision in ("float", "bits"):
        search = ("search", encoder, "word:dark red", index, "--words", words)
        rows = lines(say(capsys, *search, "--precision", precision, "--top-k", 4, "--json"))
        assert {row["path"] for row in rows} == {str(pictures / "red" / f"{n}.png") for n in "0123"}
    rows = lines(say(capsys, *search[:3], tmp_path / "index", *search[4:], "--json"))
    assert rows[0]["path"].endswith(".png")
    before = words.read_bytes()
    mine = tmp_path / "mine.npz"
    onto = ("enroll", encoder, mine, "green", pictures / "green", "--onto", words)
    assert "dark red 1, green 5, blue 1" in say(capsys, *onto)
    assert words.read_bytes() == before
    assert "dark red 1, green 9, blue 1" in say(capsys, *onto)  # it goes on
    say(capsys, "forget", mine, "blue")
    assert "dark red" in PrototypeClassifier.load(mine).counts


def test_mistakes_with_words_are_one_sentence(
    encoder,  # noqa: F811
    pictures,  # noqa: F811
    words,
    tmp_path,
    capsys,
):
    search = ("search", encoder, "word:dark rid", pictures)
    assert "'dark rid'; did you mean dark red?" in complain(capsys, *search, "--words", words)
    assert "word:dark rid needs --words" in complain(capsys, *search)
    other = PrototypeClassifier.load(words)
    other.space = "another teacher"
    other.save(tmp_path / "other.npz")
    for verb in (
        ("classify", encoder, tmp_path / "other.npz", pictures),
        (*search, "--words", tmp_path / "other.npz"),
        ("enroll", encoder, tmp_path / "new.npz", "x", pictures, "--onto", tmp_path / "other.npz"),
    ):
        assert "words are of another teacher" in complain(capsys, *verb)
    assert not (tmp_path / "new.npz").exists()
    missing = ("enroll", encoder, tmp_path / "new.npz", "x", pictures, "--onto", tmp_path / "no")
    assert "does not exist" in complain(capsys, *missing)


def test_a_model_of_another_size_is_one_sentence():
    with pytest.raises(S2bnnError, match="the classes have .* and the model gives 3; use"):
        Cones().classifier().predict(np.ones((1, 3)))


def test_100_000_words(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100_000, 64)).astype(np.float32)
    names = [f"name {number}" for number in range(len(rows))]
    classifier = PrototypeClassifier()
    classifier.add_words(names, rows, Words("", 1.0, 0.0, np.zeros(64), None))
    classifier.save(tmp_path / "words.npz")
    loaded = PrototypeClassifier.load(tmp_path / "words.npz")
    chosen = rng.integers(len(rows), size=20)
    assert [p.name for p in loaded.predict(rows[chosen])] == [names[number] for number in chosen]
    loaded.forget("name 7")
    loaded.save(tmp_path / "words.npz")
    assert len(PrototypeClassifier.load(tmp_path / "words.npz").counts) == 99_999
    assert json.dumps(loaded.counts)
