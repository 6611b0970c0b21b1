"""Targets that a teacher computes once: stored, found again, made again where they do not fit."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.config import Config, DataConfig, TeacherConfig
from s2bnn_tf.data import Crops, crop_dataset, open_source
from s2bnn_tf.errors import CheckpointError, DataError
from s2bnn_tf.files import save_arrays
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.teachers import TargetCache, load_teacher
from s2bnn_tf.training import KeptTeacher, pretrain
from s2bnn_tf.training.guidance import _digest, prepare_guidance

keras = tf.keras

CROPS = 2
GUIDED = {"contrastive_weight": 0.0, "distillation_weight": 1.0}


class Stop(keras.callbacks.Callback):
    """Ends training after an epoch, as a crash does, and remembers the pretrainer."""

    def on_epoch_end(self, epoch, logs):
        self.pretrainer = self.model
        raise InterruptedError


class Look(keras.callbacks.Callback):
    """Remembers the teacher."""

    def on_train_begin(self, logs=None):
        self.teacher = self.model.teacher


@pytest.fixture(scope="module")
def recipe(contrast, change, step1):
    teacher = TeacherConfig(weights=str(step1.path), cache=True, crops=CROPS)
    return change(contrast, teacher=teacher, objective=GUIDED, deterministic=True, loggers=())


@pytest.fixture(scope="module")
def stored(recipe, tmp_path_factory) -> RunDirectory:
    return pretrain(recipe, tmp_path_factory.mktemp("stored") / "run")


def stored_targets(run: RunDirectory) -> tuple[np.ndarray, Crops]:
    crops = np.load(run.targets / "crops.npz")
    return np.load(run.targets / "targets.npy"), Crops(crops["boxes"], crops["flips"])


def test_they_are_what_the_teacher_says_of_the_crops(recipe, stored):
    targets, crops = stored_targets(stored)
    source = open_source("digits")
    assert targets.shape == (len(source) * CROPS, 8) and targets.dtype == np.float16
    teacher = load_teacher(recipe.teacher, image_size=8)
    some = next(iter(crop_dataset(source, crops, image_size=8, channels=3, images=50, first=700)))
    np.testing.assert_allclose(targets[1400:1500], teacher(some), atol=2e-3)


def test_a_run_that_crashed_resumes_to_the_same_numbers(recipe, stored, tmp_path, assert_same_run):
    stop, run = Stop(), RunDirectory(tmp_path / "run")
    with pytest.raises(InterruptedError):
        pretrain(recipe, run.path, callbacks=[stop])
    assert stop.pretrainer.teacher is None, "training needs no teacher"
    before = (run.targets / "targets.npy").stat().st_mtime_ns
    assert_same_run(pretrain(recipe, run.path), stored, epochs=[1, 2])
    assert (run.targets / "targets.npy").stat().st_mtime_ns == before


def test_a_file_of_the_same_targets_teaches_the_same(recipe, change, stored, tmp_path, metrics):
    targets, crops = stored_targets(stored)
    path = tmp_path / "features.npz"
    shown = {"boxes": crops.boxes.reshape(-1, 4), "flips": crops.flips.ravel()}
    save_arrays(path, {"features": targets.astype(np.float32), **shown})
    guided = change(recipe, teacher=TeacherConfig(weights=str(path)))
    run = pretrain(guided, tmp_path / "run")
    ours, theirs = ([row["loss"] for row in metrics(r)] for r in (run, stored))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    # The run belongs to that file.
    save_arrays(path, {"features": targets[::-1].astype(np.float32), **shown})
    with pytest.raises(CheckpointError, match="is not the file that the run in .* was begun with"):
        pretrain(change(guided, epochs=3), run.path)
    save_arrays(path, {"features": targets[:-1].astype(np.float32)})
    with pytest.raises(DataError, match="2,873 rows, which nothing but their order matches"):
        pretrain(guided, tmp_path / "other")


@pytest.mark.slow
def test_others_are_made_again(recipe, change, stored, tmp_path, caplog):
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(stored.path, run.path)
    whole = (run.targets / "targets.npy").read_bytes()
    longer = change(recipe, epochs=3)
    (run.targets / "targets.npy").write_bytes(whole[:-1] + b"\x01")
    pretrain(longer, run.path)
    assert "were changed or damaged since; they are made again" in caplog.text
    assert (run.targets / "targets.npy").read_bytes() == whole

    for name, values in {"targets.json": b"{}", "crops.npz": b"no zip"}.items():
        (run.targets / name).write_bytes(values)
        assert TargetCache(run.targets, "anything").open() is None
    caplog.clear()
    shutil.copytree(stored.targets, run.targets, dirs_exist_ok=True)
    pretrain(change(longer, seed=4), tmp_path / "seed")  # other crops
    assert (tmp_path / "seed/targets/targets.npy").read_bytes() != whole
    assert TargetCache(run.targets, "of another teacher").open() is None
    assert "are of another teacher, of other pictures or of another recipe" in caplog.text


def test_the_second_step_uses_those_of_the_first(recipe, change, stored, tmp_path):
    begun = {"init_from": str(stored.path), "binarize_weights": True}
    run = pretrain(change(recipe, student=begun), tmp_path / "run")
    assert not (run.targets / "targets.npy").exists()


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_a_reduced_output_gives_the_student_a_head_that_fits(
    cached, recipe, change, tmp_path, metrics
):
    reduced = change(recipe, teacher={"cache": cached, "reduce_to": 5, "output": "features"})
    run = pretrain(reduced, tmp_path / "run")
    assert run.config.student.embedding_dim == 5
    assert [row["epoch"] for row in metrics(run)] == [1, 2]
    if cached:
        targets = stored_targets(run)[0].astype(np.float64)
        np.testing.assert_allclose(np.linalg.norm(targets, axis=1), 1, atol=1e-2)
        assert np.abs(targets.mean(axis=0)).max() < 0.2, "centered"
    else:
        before = (run.targets / "map.npz").stat().st_mtime_ns
        pretrain(change(reduced, epochs=3), run.path)
        assert (run.targets / "map.npz").stat().st_mtime_ns == before


def test_a_second_step_uses_the_teacher_that_the_first_has_loaded(
    recipe, change, tmp_path, assert_same_run
):
    mapped = {"cache": False, "reduce_to": 5, "output": "features"}
    first, kept = change(recipe, teacher=mapped, epochs=1), KeptTeacher()
    begun = str(pretrain(first, tmp_path / "first", kept=kept).path)
    second = change(first, student={"init_from": begun, "binarize_weights": True})
    look = Look()
    run = pretrain(second, tmp_path / "second", kept=kept, callbacks=[look])
    assert look.teacher.backbone is kept.network.backbone
    assert_same_run(run, pretrain(second, tmp_path / "alone"), epochs=[1])
    kept.made_from = "other targets"
    assert prepare_guidance(second, open_source("digits"), run, run, kept=kept).teacher is None


class Counted:
    """A teacher of 5 images with 2 crops each, whose target of a crop is its number."""

    def __init__(self):
        self.first: list[int] = []
        zeros = np.zeros((5, 2))
        self.crops = Crops(np.zeros((5, 2, 4), np.float32), zeros.astype(bool))

    def batches(self, first: int):
        self.first.append(first)
        for image in range(first, 5, 2):
            yield np.arange(2 * image, 2 * image + 4)[:, None]

    def fill(self, cache: TargetCache, progress=lambda *_: None):
        return cache.fill(self.crops, self.batches, lambda x: x, 2, progress)


def test_an_interrupted_start_goes_on_where_it_was(tmp_path):
    teacher, cache = Counted(), TargetCache(tmp_path / "targets", "a")

    def interrupt(what, done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teacher.fill(cache, interrupt)
    assert cache.open() is None, "what is not whole does not count"
    with cache.part.open("ab") as file:
        file.write(b"half a row that a kill has left")
    targets = teacher.fill(cache).targets
    np.testing.assert_array_equal(targets[:, 0], np.arange(10))
    assert teacher.first == [0, 2]
    assert sorted(path.name for path in cache.folder.iterdir()) == [
        "crops.npz",
        "targets.json",
        "targets.npy",
    ]
    # What was begun for another teacher is begun anew.
    other = TargetCache(tmp_path / "targets", "b")
    assert other.open() is None
    teacher.fill(other)
    assert teacher.first == [0, 2, 0]
    np.testing.assert_array_equal(other.open().targets, targets)


def test_a_full_disk_and_outputs_that_are_no_numbers_are_one_sentence(tmp_path, monkeypatch):
    teacher, cache = Counted(), TargetCache(tmp_path / "targets", "a")
    with pytest.raises(CheckpointError, match="outputs are not finite numbers"):
        cache.fill(teacher.crops, lambda _: [np.full((10, 1), np.nan)], lambda x: x, 5, print)
    assert not list(cache.folder.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(CheckpointError, match="take 0 MiB, and 0 are free; make room"):
        teacher.fill(TargetCache(tmp_path / "other", "a"))
    assert not list((tmp_path / "other").iterdir())
    (tmp_path / "linked").symlink_to(tmp_path)
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        TargetCache(tmp_path / "linked", "a")


def test_what_is_said_of_them_at_the_start(recipe, tmp_path, caplog):
    caplog.set_level(logging.INFO, "s2bnn_tf")
    teacher, cache = Counted(), TargetCache(tmp_path / "targets", "a")
    teacher.fill(cache)
    assert "The teacher's targets take 0 MiB in " in caplog.text


def test_without_a_second_teacher_those_of_earlier_versions_stay_valid():
    """Versions that knew no `teacher.beside` have written this digest beside their targets."""
    teacher = TeacherConfig(weights="nobody", cache=True)
    config, source = Config(data=DataConfig(source="digits")), open_source("digits", "train")
    earlier = "8e3a1a975a4a2463a78c25da1e57bf5024e88f901c928d86570179e13171411e"
    assert _digest(config, teacher, source) == earlier
    two = [TeacherConfig(weights="nobody", cache=True, beside=name) for name in ("a", "b")]
    assert len({earlier, *(_digest(config, both, source) for both in two)}) == 3
