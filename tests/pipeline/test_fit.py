"""`s2bnn fit` from a folder to a bundle, resumed, and what it refuses."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import s2bnn_tf
from s2bnn_tf.cli import main
from s2bnn_tf.data import load_image
from s2bnn_tf.errors import ConfigError, DataError
from s2bnn_tf.evaluation import results_dir
from s2bnn_tf.pipeline import Options, look_at, run_fit
from s2bnn_tf.pipeline.look import check_unchanged
from s2bnn_tf.runs import RunDirectory

TARGET = f"linux-{platform.machine()}"
# Fifty steps for each network, and the smallest of them.
BRIEF = ("--size", "small", "--set", "steps=30", "--set", "data.batch_size=8")


def fit(*arguments: object):
    return CliRunner().invoke(main, ["fit", *map(str, arguments)])


@pytest.fixture(scope="module")
def fitted(crops, tmp_path_factory):
    output = tmp_path_factory.mktemp("fit") / "out"
    done = fit(crops, "--output-dir", output, "--target", TARGET, *BRIEF, "--json")
    assert done.exit_code == 0, done.output
    return output, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_everything_is_there(fitted, crops):
    output, result = fitted
    assert (
        set(result["knn"])
        == set(result["linear"])
        == {*("student", "teacher", "untrained", "tflite", "starter", "pixels_8x8", "pixels_32x32")}
    )
    assert all(0 <= value <= 1 for value in result["knn"].values())
    assert 0 <= result["neighbors_kept"]["top1"] <= 1
    for name in ("run", "model", "bundle", "report", "features", "index"):
        assert (output / result["paths"][name]).exists(), name
    names = {path.name for path in output.iterdir()}
    assert names >= {
        *("teacher", "untrained", "step1", "student", "student.tflite", "student.json"),
        *("bundle.zip", "features.npz", "report.html"),
    }
    page = (output / "report.html").read_text("utf-8")
    assert "raw pixels" in page
    assert 'id="mistakes"' in page and "Effective rank" in page
    assert " pictures to learn from and " in page, "and what is left out, if anything is"
    with np.load(result["paths"]["features"]) as arrays:
        assert len(arrays["paths"]) == len(list(crops.rglob("*.png")))


@pytest.mark.slow
def test_its_index_is_searched_and_continued_on_a_device(fitted, crops, tmp_path, capsys):
    output, result = fitted
    index, model = result["paths"]["index"], result["paths"]["model"]
    assert json.loads((output / "fit.json").read_text())["paths"]["index"] == index
    pictures = sorted(crops.rglob("*.png"))
    query = tmp_path / "query.png"
    shutil.copy(pictures[0], query)
    found = on_device(capsys, "search", model, query, index, "--top-k", "1")
    assert found[0]["path"] == str(pictures[0].resolve())
    assert found[0]["score"] == pytest.approx(1, abs=1e-5)
    (again,) = on_device(capsys, "index", model, str(crops), index)
    assert (again["pictures"], again["added"], again["removed"]) == (len(pictures), 0, 0)
    with zipfile.ZipFile(result["paths"]["bundle"]) as archive:
        (packed,) = [name for name in archive.namelist() if name.endswith("/encoder.tflite")]
        assert archive.read(packed) == Path(model).read_bytes(), "the index is of this model too"


def on_device(capsys, *arguments: object) -> list[dict]:
    from s2bnn_runtime.cli import main as run

    assert run([*map(str, arguments), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
def test_without_labels_the_report_shows_what_can_be_shown(crops, tmp_path):
    (tmp_path / "photos").mkdir()
    for path in crops.rglob("*.png"):
        shutil.copy(path, tmp_path / "photos" / f"{path.parent.name}-{path.name}")
    output = tmp_path / "out"
    done = fit(tmp_path / "photos", "--output-dir", output, "--target", TARGET, *BRIEF, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result["knn"].values()) == set(result["linear"].values()) == {None}
    page = (output / "report.html").read_text("utf-8").replace("\N{NO-BREAK SPACE}", " ")
    kept = f"{100 * result['neighbors_kept']['top1']:.1f} %"
    assert f"<h1>The student keeps {kept} of its teacher&#39;s nearest neighbors" in page
    assert "Effective rank" in page and f"{result['rank']['teacher']:.1f}" in page
    assert page.count("<img ") == 10 * 9, "ten pictures with eight neighbors each"


@pytest.mark.slow
def test_its_directory_means_the_student(fitted):
    output, _ = fitted
    assert RunDirectory(output).path == output / "student"
    assert results_dir(output) == output / "student" / "eval"
    encoder = s2bnn_tf.load(output)
    with np.load(output / "features.npz") as arrays:
        paths, features = arrays["paths"][:3].tolist(), arrays["features"][:3]
    np.testing.assert_allclose(encoder.features(paths), features, rtol=1e-4, atol=1e-4)
    images = np.zeros((2, encoder.image_size, encoder.image_size, 3), np.uint8)
    assert encoder.embed(images).shape == (2, encoder.feature_dim)
    np.testing.assert_allclose(np.linalg.norm(encoder.embed(paths), axis=1), 1, rtol=1e-5)
    assert f"{encoder.image_size}x{encoder.image_size} pixels" in repr(encoder)
    of_arrays = encoder.features([load_image(path) for path in paths])
    np.testing.assert_allclose(of_arrays, features, rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match=r"array \(H, W, 3\) of uint8"):
        encoder.features(np.zeros((1, 9, 9, 3), np.float32))


@pytest.mark.slow
def test_the_same_command_resumes_and_another_does_not(fitted, crops):
    output, result = fitted
    (output / "report.html").unlink()
    before = {path: path.stat().st_mtime_ns for path in output.rglob("encoder.weights.h5")}
    again = fit(crops, "--output-dir", output, "--target", TARGET, *BRIEF, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout.splitlines()[-1])["knn"] == result["knn"]
    assert (output / "report.html").exists()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = fit(crops, "--output-dir", output, "--target", TARGET, *BRIEF, "--minutes", 5)
    assert other.exit_code == 1
    assert "holds a fit with other options (minutes: 30.0, now 5.0)" in other.output


@pytest.mark.slow
def test_a_stage_is_a_recipe_that_train_repeats(fitted, tmp_path):
    output, _ = fitted
    recipe = output / "teacher" / "config.yaml"
    done = CliRunner().invoke(main, ["train", str(recipe), "--output-dir", str(tmp_path / "again")])
    assert done.exit_code == 0, done.output
    lines = [
        [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (output / "teacher", tmp_path / "again")
    ]
    assert lines[0] == lines[1]


@pytest.mark.slow
def test_pictures_that_are_gone(fitted, crops, tmp_path):
    """The list names a picture that is no longer there."""
    output = shutil.copytree(fitted[0], tmp_path / "copy")
    text = (output / "images.tsv").read_text()
    (output / "images.tsv").write_text(text.replace("00.png", "gone.png", 1))
    done = fit(crops, "--output-dir", output, "--target", TARGET, *BRIEF)
    assert done.exit_code == 1
    assert "1 of the 72 pictures of" in done.output and "are gone" in done.output


def test_pictures_that_came_or_went_since_are_counted(crops, tmp_path):
    root, output = shutil.copytree(crops, tmp_path / "photos"), tmp_path / "out"
    (root / "temple0" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    look = look_at(str(root), output, share=0.2)
    check_unchanged(str(root), look, output)
    for name in ("new.png", "newer.png"):
        shutil.copy(root / "temple0" / "00.png", root / "temple0" / name)
    (root / "temple0" / "01.png").unlink()
    with pytest.raises(DataError, match=r"1 of the 72 pictures of .* gone, and 2 came"):
        check_unchanged(str(root), look, output)
    with pytest.raises(DataError, match="a fit on other pictures than those in .*others"):
        check_unchanged(str(shutil.copytree(crops, tmp_path / "others")), look, output)
    with pytest.raises(DataError, match="a fit on digits, not on idx:there"):
        check_unchanged("idx:there", look_at("digits", output, share=0.2), output)


def refused(data, output, **options) -> str:
    with pytest.raises((ConfigError, DataError)) as error:
        run_fit(data, output, Options(**options))
    assert not (output / "plan.json").exists()
    return str(error.value)


def test_what_is_refused_before_work_begins(crops, tmp_path):
    few = tmp_path / "few"
    shutil.copytree(crops / "temple0", few / "a")
    assert "12 readable pictures; at least 32" in refused(few, tmp_path / "out")
    same = tmp_path / "same"
    same.mkdir()
    for number in range(100):
        shutil.copy(crops / "temple0" / "00.png", same / f"{number}.png")
    assert "100 readable pictures, of which 1 differ" in refused(same, tmp_path / "out")
    assert "is inside of" in refused(crops, crops / "out")
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "labels.json").write_text("{}")
    assert "There is no train image" in refused(tmp_path / "json", tmp_path / "out")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("")
    assert "is the directory of a single run" in refused(crops, tmp_path / "run")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.tex").write_text("")
    assert "holds other files (thesis.tex)" in refused(crops, tmp_path / "used")
    (tmp_path / "file").touch()
    assert "is a file" in refused(crops, tmp_path / "file")


def test_a_folder_that_has_its_own_splits_keeps_them(crops, photographs, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(crops, root / "train")
    for number, (name, image) in enumerate(photographs.items()):
        (root / "val" / name).mkdir(parents=True)
        image.crop((number, 0, 150 + number, 150)).save(root / "val" / name / "new.png")
    with Image.open(root / "train" / "temple0" / "00.png") as image:
        image.resize((50, 50)).save(root / "val" / "temple0" / "known.png")
    (tmp_path / "out").mkdir()
    look = look_at(str(root), tmp_path / "out", share=0.5)
    assert (look.train, look.test) == (72, 6)
    assert "left out: 1 test pictures that resemble training pictures" in look.said[0]


def test_pictures_that_cannot_be_decoded_are_left_out_and_counted(crops, tmp_path):
    """Its header is whole, so only decoding shows that the rest is missing."""
    root = shutil.copytree(crops, tmp_path / "photos")
    for number in range(3):
        with Image.open(crops / "temple0" / f"{number:02}.png") as image:
            image.save(tmp_path / "whole.jpg")
        data = (tmp_path / "whole.jpg").read_bytes()
        (root / "temple0" / f"cut{number}.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "out").mkdir()
    look = look_at(str(root), tmp_path / "out", share=0.2)
    assert look.train + look.test == 72
    assert "pictures that cannot be read: 3" in look.said[0]
    assert "cut" not in (tmp_path / "out" / "images.tsv").read_text()


def test_a_misspelt_key_is_refused_before_anything_is_looked_at(crops, tmp_path):
    said: list[str] = []
    with pytest.raises(ConfigError, match=r"data.batch_sise: unknown key"):
        options = Options(overrides=("data.batch_sise=4",))
        run_fit(crops, tmp_path / "out", options, progress=said.append)
    assert said == [] and not (tmp_path / "out").exists()


def test_importing_the_package_imports_nothing_large():
    code = "import sys, s2bnn_tf; print({'tensorflow', 'numpy', 'click'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert callable(s2bnn_tf.fit) and callable(s2bnn_tf.load)
