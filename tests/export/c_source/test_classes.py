"""Classes in C: those of `s2bnn-run classify`, enrolled and forgotten, saved and loaded."""

import ctypes
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from s2bnn_tf.cli import main
from s2bnn_tf.errors import UserError
from s2bnn_tf.export import export_c
from s2bnn_tf.tflite import TFLiteEncoder

PrototypeClassifier = pytest.importorskip("s2bnn_runtime").PrototypeClassifier
Words = pytest.importorskip("s2bnn_runtime.words").Words

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O1")
ROUNDING = 4e-3  # of a cosine, by rows in 8 bits


class Library:
    """The functions of an export in a shared library, with or without those of the network."""

    def __init__(self, source, cc, kernels=None):
        files = [source / "model_classes.c", source / "s2bnn_classes.c"]
        files += [source / "model.c", kernels] if kernels else []
        cc(*FLAGS, "-fPIC", "-shared", "-o", source / "model.so", *files, "-lm")
        self.c = ctypes.CDLL(str(source / "model.so"))
        self.c.model_class_name.restype = ctypes.c_char_p

    def classify(self, vector, function="classify"):
        score = ctypes.c_float()
        number = getattr(self.c, f"model_{function}")(_floats(vector), ctypes.byref(score))
        return self.name(number) or None, score.value

    def enroll(self, name, vector):
        return self.c.model_enroll(name.encode(), _floats(vector))

    def name(self, number):
        return self.c.model_class_name(number).decode()

    def run(self, pixels, size):
        for getter in (self.c.model_input, self.c.model_output):
            getter.restype = ctypes.POINTER(ctypes.c_float)
        np.ctypeslib.as_array(self.c.model_input(), (pixels.size,))[:] = pixels.ravel()
        assert self.c.model_run() == 0
        return np.ctypeslib.as_array(self.c.model_output(), (size,)).copy()


def _floats(vector):
    return (ctypes.c_float * len(vector))(*map(float, vector))


def clusters(rng, dim=32, counts=(6, 8, 5)):
    centers = rng.normal(size=(len(counts), dim))
    return [center + rng.normal(0, 0.5, (n, dim)) for center, n in zip(centers, counts)]


@pytest.fixture
def enrolled(student, tmp_path):
    """A classifier of vectors in the student's space, its file, and the vectors."""
    vectors = clusters(np.random.default_rng(0))
    classifier = PrototypeClassifier()
    classifier.enter(TFLiteEncoder(student).space)
    for name, rows in zip(("cat", 'a "dog"?', "Vögel"), vectors):
        classifier.enroll(name, rows)
    classifier.save(tmp_path / "pets.npz")
    return classifier, tmp_path / "pets.npz", vectors


@pytest.fixture
def exported(student, enrolled, cc, tmp_path):
    """The library with places for two further classes."""
    export_c(student, tmp_path / "source", prototypes=enrolled[1], capacity=2)
    return Library(tmp_path / "source", cc)


def compare(library, classifier, vectors, thresholds=None):
    """Names and scores are equal but for what is within rounding of its threshold or a class."""
    thresholds = thresholds or classifier.calibrated(0.05)
    rejected = 0
    for row, wanted in zip(vectors, classifier.predict(vectors, thresholds)):
        name, score = library.classify(row)
        assert abs(score - wanted.score) < ROUNDING
        rejected += name is None
        first, second = np.sort(classifier.scores([row])[0])[[-1, -2]]
        if min(first - second, abs(first - thresholds[wanted.nearest])) > ROUNDING:
            assert name == wanted.name
    return rejected


def s2bnn_run(*arguments):
    from s2bnn_runtime.cli import main

    assert not main([str(argument) for argument in arguments])


def test_pictures_get_the_classes_of_the_command(student, cc, kernels, capsys, tmp_path):
    rng, files = np.random.default_rng(1), {}
    for number, kind in enumerate("abcab" * 4):
        rows, columns = np.mgrid[:32, :32]
        wave = {"a": rows, "b": columns, "c": rows + columns}[kind]
        pixels = 127 + 90 * np.sin(wave / 3 + rng.uniform(0, 6)) + rng.normal(0, 9, (32, 32))
        files.setdefault(kind, []).append(tmp_path / f"{number}.png")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(files[kind][-1])
    model = tmp_path / "student.tflite"
    model.write_bytes(student.read_bytes())
    model.with_suffix(".json").write_bytes(student.with_suffix(".json").read_bytes())
    for kind in "ab":
        s2bnn_run("enroll", model, tmp_path / "p.npz", kind, *files[kind][:6])
    paths = [path for found in files.values() for path in found]
    capsys.readouterr()
    s2bnn_run("classify", model, tmp_path / "p.npz", *paths, "--json")
    wanted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    arguments = [str(model), str(tmp_path / "c"), "--prototypes", str(tmp_path / "p.npz"), "--json"]
    done = CliRunner().invoke(main, ["export-c", *arguments])
    assert done.exit_code == 0, done.output
    card = json.loads(done.output.splitlines()[-1])["classes"]
    assert (card["names"], card["capacity"]) == (["a", "b"], 0)
    library = Library(tmp_path / "c", cc, kernels(("-O1",)))
    for path, row in zip(paths, wanted, strict=True):
        pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
        vector = library.run(pixels, 32)
        name, score = library.classify(vector)
        assert name == row["class"]
        assert library.classify(vector, "nearest")[0] == row["nearest"]
        assert abs(score - row["score"]) < ROUNDING
    assert len({row["class"] for row in wanted}) > 1


def test_rejection(exported, enrolled):
    classifier, _, vectors = enrolled
    others = np.random.default_rng(2).normal(size=(30, 32))
    assert compare(exported, classifier, np.concatenate(vectors)) < 4
    assert compare(exported, classifier, others) > 20
    for bad in (np.zeros(32), np.full(32, np.nan), np.full(32, np.inf)):
        assert exported.classify(bad) == (None, 0.0)
        assert exported.enroll("bad", bad) == -1


def test_enroll_confirm_and_forget(exported, enrolled):
    classifier, _, vectors = enrolled
    thresholds = classifier.calibrated(0.05)
    thresholds["new"] = min(thresholds.values())
    new, more = clusters(np.random.default_rng(3), counts=(3, 2))
    for row in new:
        assert exported.enroll("new", row) == 3
        classifier.enroll("new", [row])
    for row in more:  # moves the class from flash to the table
        assert exported.c.model_confirm(0, _floats(row)) == 0
        classifier.enroll("cat", [row])
    rows = np.concatenate([*vectors, new, more])
    compare(exported, classifier, rows, thresholds)
    assert exported.enroll("no place", new[0]) == -1
    assert exported.c.model_confirm(1, _floats(new[0])) == 1
    for number, name in ((0, "cat"), (1, 'a "dog"?')):
        assert exported.name(number) == name
        assert exported.c.model_forget(number) == 0
        assert exported.c.model_forget(number) == 1
        assert exported.c.model_confirm(number, _floats(new[0])) == 1
        assert exported.name(number) == ""
        classifier.forget(name)
    compare(exported, classifier, rows, thresholds)
    assert [exported.name(n) for n in (-1, 2, 3, 4, 5)] == ["", "Vögel", "new", "", ""]
    assert exported.enroll("", new[0]) == exported.enroll("x" * 32, new[0]) == -1
    assert exported.enroll("x" * 31, new[0]) == 4


def test_the_table_is_kept_as_bytes(exported, enrolled, student, cc, tmp_path):
    new = clusters(np.random.default_rng(3), counts=(2,))[0]
    size = 8 + 3 + 2 * (8 + 32 + 4 * 32)
    assert exported.enroll("new", new[0]) == 3
    assert exported.c.model_confirm(0, _floats(new[1])) == 0
    assert exported.c.model_forget(1) == 0
    kept = ctypes.create_string_buffer(size)
    exported.c.model_save_classes(kept)
    before = [exported.classify(row) for row in new]
    assert exported.c.model_forget(3) == exported.c.model_forget(0) == 0
    assert [exported.classify(row) for row in new] != before
    rng = np.random.default_rng(4)
    for place in rng.integers(0, size, 50):
        damaged = bytearray(kept.raw)
        damaged[place] ^= 1 << rng.integers(8)
        assert exported.c.model_load_classes(bytes(damaged)) == 1
    assert [exported.name(n) for n in range(4)] == ["", "", "Vögel", ""]
    assert exported.c.model_load_classes(kept.raw) == 0
    assert [exported.classify(row) for row in new] == before
    assert [exported.name(n) for n in range(4)] == ["cat", "", "Vögel", "new"]
    export_c(student, tmp_path / "other", prototypes=enrolled[1], capacity=3)
    other = Library(tmp_path / "other", cc)
    assert other.c.model_load_classes(kept.raw + bytes(1000)) == 1


def test_a_class_of_several_kinds(student, enrolled, cc, tmp_path):
    classifier, path, vectors = enrolled
    classifier.split("cat", 2)
    classifier.save(path)
    export_c(student, tmp_path / "source", prototypes=path, capacity=1)
    library = Library(tmp_path / "source", cc)
    compare(library, classifier, np.concatenate(vectors))
    assert library.c.model_confirm(0, _floats(vectors[0][0])) == 1


def test_what_is_refused(student, enrolled, tmp_path):
    classifier, path, _ = enrolled
    for options, words in (
        ({"capacity": 1}, "--prototypes"),
        ({"capacity": -1, "prototypes": path}, "0 to 1000"),
        ({"prototypes": tmp_path / "no.npz"}, "no.npz"),
        ({"prototypes": student}, "student.tflite"),
    ):
        with pytest.raises(UserError, match=words):
            export_c(student, tmp_path / "source", **options)
    named = PrototypeClassifier()
    named.add_words(["cat"], np.eye(1, 32), Words("", 1.0, 0.0, np.zeros(32), None))
    named.save(path)
    with pytest.raises(UserError, match=r"holds words.*leave --capacity out"):
        export_c(student, tmp_path / "source", prototypes=path, capacity=1)
    other = PrototypeClassifier()
    other.enroll("small", [[1.0, 0.0]])
    other.save(path)
    with pytest.raises(UserError, match="2 numbers, and the network gives 32"):
        export_c(student, tmp_path / "source", prototypes=path)
    other.enter("another")
    other.forget("small")
    other.enter("another")
    other.save(path)
    with pytest.raises(UserError, match="another model|holds no class"):
        export_c(student, tmp_path / "source", prototypes=path)
    assert not (tmp_path / "source").exists()
