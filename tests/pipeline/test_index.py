"""The index of a fit's pictures, which `s2bnn-run` searches and continues."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.data import Listed, write_list
from s2bnn_tf.errors import DeviceError
from s2bnn_tf.export import index_pictures
from s2bnn_tf.pipeline import Look, Options, Plan
from s2bnn_tf.pipeline.deliver import write_index
from s2bnn_tf.progress import no_progress

MODEL = Path(__file__).parents[1] / "compat/data/0.1.0/student.tflite"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("s2bnn_runtime") is None, reason="s2bnn_runtime is not installed"
)


@pytest.fixture
def output(tmp_path):
    """The directory of a fit that has its model, and its pictures beside it."""
    (tmp_path / "photos").mkdir()
    rng, listed = np.random.default_rng(0), []
    for number in range(6):
        path = tmp_path / "photos" / f"{number}.png"
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        small.resize((40, 40)).save(path)
        listed.append(Listed(path, "", "test" if number == 5 else "train"))
    output = tmp_path / "fit"
    output.mkdir()
    write_list(output / "images.tsv", listed)
    for name in (MODEL, MODEL.with_suffix(".json")):
        shutil.copy(name, output / f"student{name.suffix}")
    return output


def plan_of(source: str, test: int) -> Plan:
    return Plan(Options(), Look(source, 5, test, (), 40), {}, {}, 0)


def on_a_device(capsys, *arguments: object) -> list[dict]:
    from s2bnn_runtime.cli import main

    assert main([*map(str, arguments), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_it_is_searched_and_continued_by_the_runtime(output, capsys):
    plan, photos = plan_of(f"list:{output / 'images.tsv'}", 1), output.parent / "photos"
    index = write_index(plan, output, no_progress)
    before = index.read_bytes()
    assert index == output / "index.npz"
    query = shutil.copy(photos / "5.png", output / "query.png")
    model = output / "student.tflite"
    (found,) = on_a_device(capsys, "search", model, query, index, "--top-k", 1)
    assert found["path"] == str(photos / "5.png"), "held-out pictures are in it, too"
    assert found["score"] == pytest.approx(1, abs=1e-5)
    shutil.copy(photos / "1.png", photos / "new.png")
    (photos / "0.png").unlink()
    (more,) = on_a_device(capsys, "index", model, photos, index)
    assert (more["pictures"], more["added"], more["removed"]) == (6, 1, 1)
    shutil.copy(photos / "1.png", photos / "0.png")
    (photos / "new.png").unlink()
    write_index(plan, output, no_progress)  # the same command resumes
    (same,) = on_a_device(capsys, "index", model, photos, index)
    assert (same["pictures"], same["added"], same["removed"]) == (6, 0, 0)
    assert len(index.read_bytes()) == len(before)


def test_images_that_are_no_files_have_none(output):
    said = []
    assert write_index(plan_of("digits", 1), output, lambda what, *_: said.append(what)) is None
    assert said == ["There is no index: these images are not picture files."]


def test_an_index_of_another_model_stays_as_it_is(output):
    plan, said = plan_of(f"list:{output / 'images.tsv'}", 1), []
    before = write_index(plan, output, no_progress).read_bytes()
    model = output / "student.tflite"
    model.write_bytes(model.read_bytes() + bytes(4))
    write_index(plan, output, lambda what, *_: said.append(what))
    assert len(said) == 1 and "was made with another model than" in said[0]
    assert (output / "index.npz").read_bytes() == before


def test_what_goes_wrong_is_one_sentence(output):
    with pytest.raises(DeviceError, match=r"nowhere does not exist; check its path\.$"):
        index_pictures(
            output / "student.tflite", [], output / "nowhere/index.npz", progress=no_progress
        )
    with pytest.raises(DeviceError, match="images.tsv cannot be run"):
        index_pictures(output / "images.tsv", [], output / "index.npz", progress=no_progress)
