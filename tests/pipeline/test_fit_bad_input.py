"""What goes wrong around a fit is one sentence, before work begins where that is possible."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from s2bnn_tf.data import open_source
from s2bnn_tf.errors import CheckpointError, ConfigError
from s2bnn_tf.pipeline import Options, look_at, run_fit
from s2bnn_tf.pipeline.objects import take_objects
from s2bnn_tf.pipeline.plan import make_plan

keras = tf.keras

TARGET = f"linux-{platform.machine()}"


def test_fewer_pictures_than_a_batch(crops, tmp_path):
    said: list[str] = []
    options = Options(overrides=("data.batch_size=72",))
    message = r"there are 60 pictures to learn from, fewer than a batch of 72; set it to 30 or less"
    with pytest.raises(ConfigError, match=message):
        run_fit(crops, tmp_path / "out", options, progress=lambda *what: said.append(what[0]))
    assert not any("Timing" in what for what in said)
    assert not (tmp_path / "out" / "plan.json").exists()


def test_pictures_of_eight_pixels_are_enlarged_to_the_smallest_student(crops, tmp_path):
    for number, path in enumerate(sorted(crops.rglob("*.png"))):
        with Image.open(path) as image:
            (tmp_path / "tiny").mkdir(exist_ok=True)
            image.resize((8, 8)).save(tmp_path / "tiny" / f"{number}.png")
    look = look_at(tmp_path / "tiny", tmp_path / "out", share=0.2)
    assert look.side == 8 and look.train + look.test == 72
    lines = "\n".join(make_plan(look, Options(overrides=("steps=9",)), 0, timed=False).lines())
    assert "32x32 pixels" in lines


@pytest.mark.slow
def test_minutes_that_allow_nothing(crops, tmp_path):
    with pytest.raises(ConfigError, match=r"^0.01 minutes are too few .* give at least --minutes"):
        run_fit(crops, tmp_path / "out", Options(minutes=0.01, size="small"))
    assert not (tmp_path / "out").exists()


def test_a_file_of_words_that_was_there_before_stays(crops, tmp_path):
    words = tmp_path / "out" / "words.npz"
    words.parent.mkdir()
    words.write_bytes(b"made by hand")
    options = Options(teacher="clip_vit_b32", words=str(words), overrides=("typo=1",))
    with pytest.raises(ConfigError, match="typo"):
        run_fit(crops, words.parent, options)
    assert [path.name for path in words.parent.iterdir() if path.name != ".lock"] == ["words.npz"]


def test_a_teacher_that_is_not_there_leaves_nothing(crops, tmp_path):
    with pytest.raises(CheckpointError, match="absent"):
        run_fit(crops, tmp_path / "new" / "out", Options(teacher="absent"))
    assert not list(tmp_path.iterdir())


class Cut(keras.callbacks.Callback):
    """Cuts one picture of each split to nothing when training begins."""

    def __init__(self, spec: str):
        super().__init__()
        self.spec = spec
        self.paths: list[Path] = []

    def on_train_begin(self, logs=None):
        self.paths = [Path(open_source(self.spec, split).paths[0]) for split in ("train", "test")]
        for path in self.paths:
            path.write_bytes(b"")


@pytest.mark.slow
def test_pictures_that_are_cut_after_the_plan_are_skipped_and_named(crops, tmp_path, caplog):
    root, output = shutil.copytree(crops, tmp_path / "photos"), tmp_path / "out"
    image = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(6, 3, strides=8, use_bias=False)(image)
    network = keras.Model(image, keras.layers.BatchNormalization()(maps))
    objects = take_objects(network, lambda images: images.mean((1, 2)), None, output)
    overrides = (*objects.overrides, "steps=30", "data.batch_size=8", "loggers=[]")
    given = (objects.teacher, "small", None, overrides, 0.2, TARGET, objects.names)
    cut = Cut(f"list:{output / 'images.tsv'}")
    options = Options(10.0, *given)
    result = run_fit(str(root), output, options, callbacks=[cut], timed=False)
    assert len(cut.paths) == 2
    for path in cut.paths:
        assert f"Skipped {path}" in caplog.text or f"{path} (" in caplog.text
    with np.load(result["paths"]["features"]) as arrays:
        assert len(arrays["paths"]) == 70
        assert not set(map(str, cut.paths)) & set(arrays["paths"].tolist())
    assert (output / "student.tflite").exists() and (output / "report.html").exists()


def run(command: list[str], **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.slow
def test_a_full_disk_is_told_before_work_begins(crops, tmp_path):
    (tmp_path / "disk").mkdir()
    private = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path / 'disk'}"
    if shutil.which("unshare") is None or run([*private, mount]).returncode:
        pytest.skip("this system lets nobody mount a small disk")
    output = tmp_path / "disk" / "out"
    fit = f"{sys.executable} -m s2bnn_tf fit {crops} --output-dir {output}"
    done = run([*private, f"{mount} && {fit}; code=$?; ls -A {tmp_path / 'disk'}; exit $code"])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: There are 1 MiB free for {output}")
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can give files away"
)
def test_the_fit_of_another_user_is_not_touched(crops, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "plan.json").write_text("{}")
    os.chown(output / "plan.json", 65534, 65534)
    os.chown(output, 65534, 65534)
    like_anybody = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    for mode in (0o700, 0o755):
        output.chmod(mode)
        command = [sys.executable, "-m", "s2bnn_tf", "fit", str(crops), "--output-dir"]
        done = run([*like_anybody, *command, str(output)])
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert done.stderr.count("Error: ") == 1 and str(output) in done.stderr, done.stderr
    assert [path.name for path in output.iterdir()] == ["plan.json"]
