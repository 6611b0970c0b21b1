"""Checkpoints that were cut short, altered or left over, and the choice of those to keep."""

from __future__ import annotations

import json
import logging

import pytest
import tensorflow as tf

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.files import sha256
from s2bnn_tf.runs import CheckpointStore


@pytest.fixture
def value() -> tf.Variable:
    return tf.Variable(tf.zeros([1000]))


@pytest.fixture
def filled(value, tmp_path):
    """A store with the checkpoints of some steps, each holding its own number."""

    def fill(*steps: int, hours: float = 1.0, **options) -> CheckpointStore:
        store = CheckpointStore(tmp_path, **{"keep": 99, **options})
        for step in steps:
            value.assign(tf.fill([1000], float(step)))
            store.save(tf.train.Checkpoint(value=value), step, {"images": 10 * step})
        return store

    return fill


def held(store: CheckpointStore, value: tf.Variable) -> float:
    value.assign(tf.fill([1000], -1.0))
    tf.train.Checkpoint(value=value).read(store.newest().prefix).assert_existing_objects_matched()
    return float(value[0])


def test_the_newest_by_number_comes_back_with_its_facts(filled, value):
    store = filled(9, 10, 100)
    assert store.steps() == [9, 10, 100]
    assert (store.newest().step, store.newest().facts) == (100, {"images": 1000})
    assert held(store, value) == 100


def test_an_empty_folder_has_none(tmp_path):
    assert CheckpointStore(tmp_path).newest() is None
    assert CheckpointStore(tmp_path / "absent").newest() is None


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, alter, lambda path: path.unlink()])
@pytest.mark.parametrize("kind", ["index", "data-00000-of-00001"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_used(
    filled, value, damage, kind, tmp_path, caplog
):
    store = filled(1, 2)
    damage(tmp_path / f"step-2.{kind}")
    with caplog.at_level(logging.WARNING):
        assert held(store, value) == 1
    assert "step 2 in" in caplog.text and "is damaged; the one before it is used" in caplog.text
    # Training reaches the step again and writes it once more.
    value.assign(tf.fill([1000], 2.5))
    store.save(tf.train.Checkpoint(value=value), 2)
    assert held(store, value) == 2.5


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"sha256": {}, "step": 2, "facts": {}}'])
def test_a_damaged_manifest_is_a_damaged_checkpoint(filled, value, text, tmp_path):
    store = filled(1, 2)
    (tmp_path / "step-2.json").write_text(text)
    assert held(store, value) == 1


def test_damage_everywhere_is_reported_and_nothing_starts_over(filled, tmp_path):
    store = filled(1, 2)
    for step in (1, 2):
        alter(tmp_path / f"step-{step}.data-00000-of-00001")
    with pytest.raises(CheckpointError, match="Every checkpoint in .* is damaged; put back a copy"):
        store.newest()


def test_a_kill_before_the_manifest_leaves_nothing_that_counts(filled, value, tmp_path):
    store = filled(1, 2)
    (tmp_path / "step-2.json").unlink()
    (tmp_path / "step-3_temp").mkdir()
    part = "part-00000-of-00001.data-00000-of-00001.tempstate123"
    (tmp_path / "step-3_temp" / part).write_bytes(b"half")
    assert held(store, value) == 1
    store.clean()
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"step-1"}


def test_nothing_is_removed_that_is_not_a_part_of_a_checkpoint(filled, tmp_path):
    """A folder from elsewhere may be made so that cleaning up removes other people's files."""
    victims = tmp_path / "victims"
    (victims / "deep").mkdir(parents=True)
    for name in ("part-00000-of-00001.index", "deep/thesis.txt"):
        (victims / name).write_text("precious")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "step-7_temp").symlink_to(victims)
    (folder / "step-8.index").symlink_to(victims / "part-00000-of-00001.index")
    (folder / "step-9_temp" / "inside").mkdir(parents=True)
    (folder / "step-9_temp" / "inside" / "photo.jpg").touch()
    (folder / "step-notes.txt").touch()
    CheckpointStore(folder).clean()
    assert (victims / "part-00000-of-00001.index").read_text() == "precious"
    assert (victims / "deep" / "thesis.txt").read_text() == "precious"
    assert (folder / "step-9_temp" / "inside" / "photo.jpg").is_file()
    assert (folder / "step-notes.txt").is_file()


def test_a_manifest_names_only_files_of_its_own_checkpoint(filled, tmp_path):
    store = filled(1)
    secret = tmp_path.parent / "secret"
    secret.write_text("x")
    manifest = json.loads((tmp_path / "step-1.json").read_text())
    manifest["sha256"] = {"../secret": sha256(secret)}
    (tmp_path / "step-1.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="Every checkpoint in .* is damaged"):
        store.newest()


def test_a_whole_checkpoint_of_the_same_step_is_not_written_again(filled, value, tmp_path):
    store = filled(1)
    before = (tmp_path / "step-1.json").read_bytes()
    filled(1)
    assert (tmp_path / "step-1.json").read_bytes() == before
    assert held(store, value) == 1


def test_the_newest_few_are_kept(filled, tmp_path):
    assert filled(1, 2, 3, 4, keep=2).steps() == [3, 4]
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"step-3", "step-4"}


def test_one_older_checkpoint_is_kept_per_period_of_hours(filled, value, tmp_path):
    """Steps 0 to 9, saved one hour apart according to their manifests."""
    store = filled(*range(10))
    for step in range(10):
        manifest = json.loads((tmp_path / f"step-{step}.json").read_text())
        (tmp_path / f"step-{step}.json").write_text(json.dumps({**manifest, "saved": 3600 * step}))
    filled(10, keep=2, keep_hours=4)
    assert store.steps() == [0, 4, 8, 9, 10]
