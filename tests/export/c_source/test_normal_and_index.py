"""What is normal, and search, in C: as `s2bnn-run inspect` and `search` on the same pictures."""

import ctypes
import hashlib
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from s2bnn_tf.cli import main
from s2bnn_tf.errors import UserError
from s2bnn_tf.export import export_c
from s2bnn_tf.tflite import TFLiteGraph, with_outputs

pytest.importorskip("s2bnn_runtime")
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O1")


class Library:
    """An export with one of the parts in a shared library."""

    def __init__(self, source, part, cc, kernels):
        files = [source / f"{name}_{part}.c" for name in ("model", "s2bnn")]
        files += [source / "model.c", kernels(("-O1",))]
        cc(*FLAGS, "-fPIC", "-shared", "-o", source / "model.so", *files, "-lm")
        self.c = ctypes.CDLL(str(source / "model.so"))
        for number in range(2):
            getter = getattr(self.c, f"model_output{'_1' if number else ''}", None)
            if getter:
                getter.restype = ctypes.c_void_p
        self.c.model_input.restype = ctypes.POINTER(ctypes.c_float)

    def run(self, path, function="model_output"):
        """The address of an output for a picture."""
        pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
        np.ctypeslib.as_array(self.c.model_input(), (pixels.size,))[:] = pixels.ravel()
        assert self.c.model_run() == 0
        return ctypes.c_void_p(getattr(self.c, function)())

    def unusual(self, function, values):
        score = ctypes.c_float()
        said = getattr(self.c, function)(values, ctypes.byref(score))
        return said, score.value

    def search(self, vector, wanted):
        numbers, differing = ((ctypes.c_int32 * max(wanted, 1))() for _ in range(2))
        found = self.c.model_search(vector, wanted, numbers, differing)
        return list(numbers)[:found], list(differing)[:found]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Stripes, which are normal, and some with a patch of noise."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("pictures")
    paths = []
    for number in range(36):
        rows, columns = np.mgrid[:32, :32]
        angle = rng.uniform(0, 0.6)
        wave = np.sin((np.cos(angle) * rows + np.sin(angle) * columns) / 3 + rng.uniform(0, 6))
        pixels = 127 + 90 * wave + rng.normal(0, 9, (32, 32))
        if number >= 24:
            top, left = rng.integers(0, 20, 2)
            pixels[top : top + 12, left : left + 12] = rng.uniform(0, 255, (12, 12))
        paths.append(folder / f"{number:02}.png")
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(paths[-1])
    return paths


@pytest.fixture
def with_map(student, tmp_path):
    """The student with a map of 8 x 8 places as its second output."""
    data = student.read_bytes()
    graph = TFLiteGraph(data)
    tensors = enumerate(graph.tensors)
    maps = [i for i, t in tensors if t.shape[1:3] == (8, 8) and t.dtype == np.float32]
    path = tmp_path / "with_map.tflite"
    path.write_bytes(with_outputs(data, [graph.outputs[0], maps[-1]]))
    card = {"center_crop": 1.0, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


@pytest.fixture
def alone(student, tmp_path):
    """The student with its card."""
    path = tmp_path / "student.tflite"
    path.write_bytes(student.read_bytes())
    path.with_suffix(".json").write_bytes(student.with_suffix(".json").read_bytes())
    return path


@pytest.fixture
def s2bnn_run(capsys):
    def run(*arguments):
        from s2bnn_runtime.cli import main

        capsys.readouterr()
        assert not main([*map(str, arguments), "--json"])
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def check_scores(library, function, output, rows, rounding):
    """Verdicts are equal but for scores within rounding, a part of the threshold, of it."""
    said = []
    for row in rows:
        unusual, score = library.unusual(function, library.run(row["path"], output))
        error = rounding * row["threshold"]
        assert score == pytest.approx(row["score"], rel=0, abs=error)
        if abs(row["score"] - row["threshold"]) > error:
            assert unusual == row["unusual"]
        said.append(unusual)
    assert 0 < sum(said) < len(said)


def test_whole_pictures(alone, pictures, s2bnn_run, cc, kernels, tmp_path):
    s2bnn_run("normal", alone, tmp_path / "n.npz", *pictures[:20], "--false-alarms", "0.2")
    rows = s2bnn_run("inspect", alone, tmp_path / "n.npz", *pictures)
    card = export_c(alone, tmp_path / "c", normal=tmp_path / "n.npz")
    assert card["normal"]["threshold"] == pytest.approx(rows[0]["threshold"], rel=1e-4)
    library = Library(tmp_path / "c", "normal", cc, kernels)
    check_scores(library, "model_unusual", "model_output", rows, 1e-3)
    bad = (ctypes.c_float * 32)(*[float("nan")] * 32)
    assert library.unusual("model_unusual", bad)[0] == 1


def test_places(with_map, pictures, s2bnn_run, cc, kernels, tmp_path):
    s2bnn_run("normal", with_map, tmp_path / "n.npz", *pictures[:20], "--false-alarms", "0.2")
    rows = s2bnn_run("inspect", with_map, tmp_path / "n.npz", *pictures)
    arguments = [str(with_map), str(tmp_path / "c"), "--normal", str(tmp_path / "n.npz"), "--json"]
    done = CliRunner().invoke(main, ["export-c", *arguments])
    assert done.exit_code == 0, done.output
    card = json.loads(done.output.splitlines()[-1])["normal"]
    assert (card["method"], card["roi"], card["tiles"]) == ("patches", None, 1)
    assert "`model_unusual_map(model_output_1(), &score)`" in (tmp_path / "c/README.md").read_text()
    library = Library(tmp_path / "c", "normal", cc, kernels)
    check_scores(library, "model_unusual_map", "model_output_1", rows, 0.01)
    size = int(np.prod(TFLiteGraph(with_map.read_bytes()).tensors[-1].shape)) + 8 * 8 * 64
    bad = (ctypes.c_float * size)(*[float("nan")] * size)
    assert library.unusual("model_unusual_map", bad)[0] == 1


def test_regions_are_told(with_map, pictures, s2bnn_run, tmp_path):
    options = ("--roi", "4,5,20,16", "--tiles", "2", "--method", "gaussian")
    s2bnn_run("normal", with_map, tmp_path / "n.npz", *pictures[:20], *options)
    export_c(with_map, tmp_path / "c", normal=tmp_path / "n.npz", name="part")
    header = (tmp_path / "c/part_normal.h").read_text()
    assert "#define PART_NORMAL_ROI {4, 5, 20, 16}\n" in header
    assert "#define PART_NORMAL_TILES 2\n" in header


def test_search(alone, pictures, s2bnn_run, cc, kernels, tmp_path):
    from s2bnn_runtime.codes import encode
    from s2bnn_runtime.delegate import nearest
    from s2bnn_runtime.index import PictureIndex

    s2bnn_run("index", alone, *pictures[:30], tmp_path / "i.npz")
    card = export_c(alone, tmp_path / "c", index=tmp_path / "i.npz")
    assert card["index"]["pictures"] == 30
    library, index = (
        Library(tmp_path / "c", "index", cc, kernels),
        PictureIndex.load(tmp_path / "i.npz"),
    )
    library.c.model_picture_name.restype = ctypes.c_char_p
    for path in pictures:
        vector = library.run(path)
        unit = np.ctypeslib.as_array(ctypes.cast(vector, ctypes.POINTER(ctypes.c_float)), (32,))
        code = encode((unit / np.linalg.norm(unit))[np.newaxis], np.asarray(index._center))[0]
        rows, bits = nearest(index._codes, code, 30)
        wanted = bits[np.argsort(rows)]
        numbers, differing = library.search(vector, 30)
        assert differing == sorted(differing)
        assert np.abs(wanted[numbers].astype(int) - differing).max() <= 1  # within rounding of 0
        assert library.search(vector, 7)[0] == numbers[:7]
        if path in pictures[:30]:
            assert library.c.model_picture_name(numbers[0]).decode() == path.name
            assert differing[0] == 0
    assert library.search(vector, 0) == ([], [])
    assert library.search((ctypes.c_float * 32)(), 3) == ([], [])
    assert [library.c.model_picture_name(number) for number in (-1, 30)] == [b"", b""]


def test_what_is_refused(alone, with_map, student, pictures, s2bnn_run, tmp_path):
    s2bnn_run("normal", with_map, tmp_path / "places.npz", *pictures[:8])
    s2bnn_run("index", with_map, *pictures[:3], tmp_path / "i.npz")
    for options, words in (
        ({"normal": tmp_path / "places.npz"}, "another network"),
        ({"index": tmp_path / "i.npz"}, "another network"),
        ({"normal": tmp_path / "i.npz"}, "does not hold what is normal"),
        ({"index": tmp_path / "places.npz"}, "no index"),
        ({"index": student}, "student.tflite"),
        ({"normal": tmp_path / "no.npz"}, "no.npz"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            export_c(alone, tmp_path / "c", **options)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()
