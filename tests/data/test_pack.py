"""Packing a folder, and training views from what was packed, against the folder itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

from s2bnn_tf.cli import main
from s2bnn_tf.data import Augmentation, open_source, pack, view_dataset
from s2bnn_tf.errors import CheckpointError, DataError, UserError
from s2bnn_tf.locks import DirectoryLock

pytestmark = pytest.mark.both_sets

PLAIN = Augmentation((1.0, 1.0), 0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two classes of ten images, of different sizes and kinds."""
    rng = np.random.default_rng(0)
    for number in range(20):
        folder = tmp_path / "photos" / ("cat" if number % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (30 + number, 50, 3)).astype(np.uint8)
        suffix = "png" if number % 5 == 0 else "jpg"
        Image.fromarray(pixels).save(folder / f"{number}.{suffix}")
    return tmp_path / "photos"


@pytest.fixture
def small_files(monkeypatch):
    monkeypatch.setitem(pack.__globals__, "_IMAGES_PER_FILE", 6)


def contents(source) -> list[tuple[int, bytes]]:
    return sorted((int(source.labels[i]), source.read(i).tobytes()) for i in range(len(source)))


def test_the_command_packs_both_splits_and_they_hold_the_same(photos, tmp_path, small_files):
    packed = tmp_path / "packed"
    result = CliRunner().invoke(main, ["data", "pack", f"folder:{photos}", str(packed)])
    assert result.exit_code == 0, result.output
    assert f"data.source=tfrecord:{packed}" in result.output
    assert len(list(packed.glob("train-*.tfrecord"))) == 3
    assert not list(packed.glob(".*tfrecord"))
    for split in ("train", "test"):
        folder = open_source(f"folder:{photos}", split)
        records = open_source(f"tfrecord:{packed}", split)
        assert contents(records) == contents(folder)
        assert records.class_names == folder.class_names == ("cat", "dog")
        for index in range(len(records)):
            assert tuple(records.sizes[index]) == records.read(index).shape[:2]


def test_packing_again_writes_only_what_is_missing(photos, tmp_path, small_files):
    source = open_source(f"folder:{photos}")
    written = pack(source, tmp_path / "packed")
    assert written == {"images": 16, "files": 3, "unreadable": 0}
    files = sorted((tmp_path / "packed").glob("train-*.tfrecord"))
    times = [file.stat().st_mtime_ns for file in files]
    files[1].with_suffix(".npz").unlink()  # killed before this file was finished
    files[2].write_bytes(files[2].read_bytes()[:-9])
    (tmp_path / "packed" / f".x1y2z3a4-{files[1].name}").touch()  # what the kill left of it
    seen = []
    assert pack(source, tmp_path / "packed", progress=lambda *now: seen.append(now)) == written
    again = [file.stat().st_mtime_ns for file in files]
    assert (again[0] == times[0], again[1] > times[1], again[2] > times[2]) == (True,) * 3
    assert seen[-1] == ("train", 16, 16)
    assert not list((tmp_path / "packed").glob(".*tfrecord"))
    assert contents(open_source(f"tfrecord:{tmp_path / 'packed'}")) == contents(source)


def test_an_image_that_cannot_be_decoded_is_left_out(photos, tmp_path):
    broken = next(path for path in open_source(f"folder:{photos}").paths if path.suffix == ".jpg")
    broken.write_bytes(broken.read_bytes()[:-300])
    written = pack(open_source(f"folder:{photos}"), tmp_path / "packed")
    assert written == {"images": 15, "files": 1, "unreadable": 1}
    assert len(open_source(f"tfrecord:{tmp_path / 'packed'}")) == 15


def test_other_images_in_the_same_place_are_refused(photos, tmp_path):
    pack(open_source(f"folder:{photos}"), tmp_path / "packed")
    fewer = open_source(f"folder:{photos}").select(range(5))
    with pytest.raises(UserError, match="holds images other than .*; choose another folder"):
        pack(fewer, tmp_path / "packed")


def test_images_that_are_in_no_file_become_files(tmp_path):
    """And what is packed is packed again without a change."""
    for source, folder in (("digits", "packed"), (f"tfrecord:{tmp_path / 'packed'}", "again")):
        result = CliRunner().invoke(main, ["data", "pack", source, str(tmp_path / folder)])
        assert result.exit_code == 0, result.output
    for split in ("train", "test"):
        digits = open_source("digits", split)
        expected = sorted((digits.read(i).tobytes(), digits.labels[i]) for i in range(len(digits)))
        for folder in ("packed", "again"):
            packed = open_source(f"tfrecord:{tmp_path / folder}", split)
            assert packed.class_names == digits.class_names
            pairs = [(packed.read(i).tobytes(), packed.labels[i]) for i in range(len(packed))]
            assert sorted(pairs) == expected
    (tmp_path / "packed" / "train.json").unlink()
    with pytest.raises(UserError, match="holds images other than"):
        pack(open_source("digits").select(range(1400)), tmp_path / "packed")


def test_a_damaged_pack_is_told(photos, tmp_path):
    packed = tmp_path / "packed"
    pack(open_source(f"folder:{photos}"), packed)
    (file,) = packed.glob("*.tfrecord")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="does not have the size .*; pack it again"):
        open_source(f"tfrecord:{packed}")
    with pytest.raises(UserError, match="holds no packed test images .* s2bnn data pack SOURCE"):
        open_source(f"tfrecord:{packed}", "test")


def test_records_of_others_are_found_by_their_features(photos, tmp_path):
    """As TensorFlow Datasets and the ImageNet scripts write them."""
    folder = open_source(f"folder:{photos}")
    feature = tf.train.Feature
    for split in ("train", "val"):
        with tf.io.TFRecordWriter(str(tmp_path / f"{split}-0.tfrecord")) as writer:
            for path, label in zip(folder.paths, folder.labels):
                image = feature(bytes_list=tf.train.BytesList(value=[path.read_bytes()]))
                number = feature(int64_list=tf.train.Int64List(value=[label]))
                features = {"image/encoded": image, "image/class/label": number}
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    found = open_source(f"tfrecord:{tmp_path}/{{split}}-*.tfrecord")
    assert contents(found) == contents(folder)
    np.testing.assert_array_equal(found.labels, folder.labels)
    np.testing.assert_array_equal(found.sizes, folder.sizes)
    with pytest.raises(UserError, match="has no test images; write {split}"):
        open_source(f"tfrecord:{tmp_path}/train-*.tfrecord", "test")
    with pytest.raises(UserError, match="There is no file .*absent"):
        open_source(f"tfrecord:{tmp_path}/absent*")


def test_a_damaged_record_is_told_by_its_file(photos, tmp_path):
    pack(open_source(f"folder:{photos}"), tmp_path / "packed")
    (file,) = (tmp_path / "packed").glob("*.tfrecord")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "other.tfrecord").write_bytes(content)
    with pytest.raises(UserError, match="other.tfrecord is damaged from byte"):
        open_source(f"tfrecord:{tmp_path}/other.tfrecord")


def test_views_of_records_are_the_views_of_files(photos, tmp_path):
    """Every image of an epoch once, the same whichever way they are stored."""
    pack(open_source(f"folder:{photos}"), tmp_path / "packed")
    options = {"image_size": 24, "batch_size": 8, "views": 1, "seed": 0}

    def epoch(spec: str) -> np.ndarray:
        batches = list(view_dataset(open_source(spec), PLAIN, **options).take(2))
        views = np.concatenate([batch[0] for batch in batches])
        return views[np.lexsort(views.reshape(16, -1)[:, :3].T)]

    np.testing.assert_allclose(
        epoch(f"folder:{photos}"), epoch(f"tfrecord:{tmp_path / 'packed'}"), atol=1e-6
    )


def test_a_prepared_data_set_of_tensorflow_datasets(photos, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    folder = open_source(f"folder:{photos}")
    # A builder needs the file of its module, which a worker of pytest-xdist does not have.
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)

    class TinyPhotos(tfds.core.GeneratorBasedBuilder):
        __module__ = "__main__"  # it looks for its package there
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            label = tfds.features.ClassLabel(names=["cat", "dog"])
            features = {"image": tfds.features.Image(), "label": label}
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i, path in enumerate(folder.paths):
                yield i, {"image": str(path), "label": int(folder.labels[i])}

    TinyPhotos(data_dir=str(tmp_path / "tfds")).download_and_prepare()
    monkeypatch.setattr(tfds, "builder", lambda name: TinyPhotos(data_dir=str(tmp_path / "tfds")))
    found = open_source("tfds:tiny_photos")
    assert contents(found) == contents(folder)
    with pytest.raises(UserError, match="has no test images in .*; prepare it there first"):
        open_source("tfds:tiny_photos", "test")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda summary: summary.update(files=[]), "names no packed files"),
        (lambda summary: summary.update(files=["../../victim.tfrecord"]), "names no packed files"),
        (lambda summary: summary.update(files=[3]), "files is .* not a list of a text"),
        (lambda summary: summary.pop("class_names"), "class_names is missing"),
        (lambda summary: summary.update(class_names=["cat"]), "a label beyond the 1 classes"),
    ],
)
def test_a_summary_from_elsewhere_is_checked(photos, tmp_path, change, said):
    packed = tmp_path / "packed"
    pack(open_source(f"folder:{photos}"), packed)
    summary = json.loads((packed / "train.json").read_text())
    change(summary)
    (packed / "train.json").write_text(json.dumps(summary))
    with pytest.raises(DataError, match=said):
        open_source(f"tfrecord:{packed}")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda index: index.pop("offset"), "offset is missing"),
        (lambda index: index.pop("label"), "label is missing"),
        (lambda index: index.update(length=index["length"][:-1]), "length has the shape"),
        (lambda index: index.update(length=index["length"] + 10**6), "behind the end"),
        (
            lambda index: index.update(offset=index["offset"] - 10**6),
            "offset holds numbers outside",
        ),
        (lambda index: index.update(label=index["label"] + 10**15), "label holds numbers outside"),
        (lambda index: index.update(size=index["size"] * 0), "size holds numbers outside"),
    ],
)
def test_an_index_from_elsewhere_is_checked(photos, tmp_path, change, said):
    packed = tmp_path / "packed"
    pack(open_source(f"folder:{photos}"), packed)
    (path,) = packed.glob("*.npz")
    with np.load(path) as arrays:
        index = dict(arrays)
    change(index)
    np.savez(path, **index)
    with pytest.raises(DataError, match=said):
        open_source(f"tfrecord:{packed}")


def test_an_empty_index_is_no_crash(photos, tmp_path):
    packed = tmp_path / "packed"
    pack(open_source(f"folder:{photos}"), packed)
    (path,) = packed.glob("*.npz")
    with np.load(path) as arrays:
        index = {name: values[:0] if values.ndim else values for name, values in arrays.items()}
    np.savez(path, **index)
    with pytest.raises(DataError, match="pack it again"):
        open_source(f"tfrecord:{packed}")


@pytest.mark.parametrize(
    "label, said", [(10**9, "has the label 1000000000"), (None, "no tf.train")]
)
def test_a_record_of_others_is_checked(tmp_path, label, said):
    feature = tf.train.Feature
    image = feature(bytes_list=tf.train.BytesList(value=[b"no matter"]))
    number = feature(int64_list=tf.train.Int64List(value=[label or 0]))
    example = tf.train.Example(
        features=tf.train.Features(feature={"image": image, "label": number})
    ).SerializeToString()
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(example if label else b"\xff" + example)
    with pytest.raises(DataError, match=said):
        open_source(f"tfrecord:{tmp_path}/a.tfrecord")


def test_two_unreadable_records_are_both_told(tmp_path):
    feature = tf.train.Feature
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for _ in range(2):
            image = feature(bytes_list=tf.train.BytesList(value=[b"no image"]))
            features = tf.train.Features(feature={"image": image})
            writer.write(tf.train.Example(features=features).SerializeToString())
    with pytest.raises(DataError, match="None of the 2 train images"):
        open_source(f"tfrecord:{tmp_path}/a.tfrecord")


def test_a_hundred_thousand_packed_files_have_names_of_six_digits(photos, tmp_path):
    packed = tmp_path / "packed"
    source = open_source(f"folder:{photos}")
    pack(source, packed)
    for suffix in ("tfrecord", "npz"):
        file = packed / f"train-00000-of-00001.{suffix}"
        file.rename(packed / f"train-99999-of-100000.{suffix}")
    summary = json.loads((packed / "train.json").read_text())
    summary["files"] = ["train-99999-of-100000.tfrecord"]
    (packed / "train.json").write_text(json.dumps(summary))
    assert len(open_source(f"tfrecord:{packed}")) == len(source)


def test_a_second_pack_waits_for_the_first(photos, tmp_path):
    with DirectoryLock(tmp_path / "packed", "`s2bnn data pack`", "choose another folder"):
        (tmp_path / "packed" / ".abcd1234-train-00000-of-00001.tfrecord").touch()
        with pytest.raises(CheckpointError, match="in use by another `s2bnn data pack`"):
            pack(open_source(f"folder:{photos}"), tmp_path / "packed")
        assert (tmp_path / "packed" / ".abcd1234-train-00000-of-00001.tfrecord").is_file()


def test_only_what_a_killed_pack_left_is_removed(photos, tmp_path):
    packed, victim = tmp_path / "packed", tmp_path / "victim"
    packed.mkdir()
    victim.write_text("precious")
    (packed / ".abcd1234-train-00000-of-00001.tfrecord").symlink_to(victim)
    (packed / ".my-train-set.txt").write_text("precious")
    pack(open_source(f"folder:{photos}"), packed)
    assert victim.read_text() == (packed / ".my-train-set.txt").read_text() == "precious"


def test_a_full_disk_is_one_sentence_and_nothing_counts_as_done(photos, tmp_path):
    source = open_source(f"folder:{photos}")
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from s2bnn_tf.data import open_source, pack\n"
        "from s2bnn_tf.errors import UserError\n"
        "source = open_source(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "try:\n    pack(source, Path(sys.argv[2]))\n"
        "except UserError as error:\n    print('REFUSED', error)\n"
    )
    packed = tmp_path / "packed"
    command = [sys.executable, "-c", code, f"folder:{photos}", str(packed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "REFUSED Cannot write to" in done.stdout and "File too large" in done.stdout, done.stderr
    assert not list(packed.glob("*.tfrecord")) and not (packed / "train.json").exists()
    assert pack(source, packed)["images"] == len(source)
