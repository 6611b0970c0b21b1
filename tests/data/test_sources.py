"""Digits, IDX files and specifications."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from s2bnn_tf.data import open_source
from s2bnn_tf.errors import UserError

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    data = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 12), ("t10k", 5)):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", rng.integers(0, 256, (count, 7, 6)))
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", np.arange(count) % 3)
    return tmp_path


def test_digits_are_a_fixed_stratified_split():
    train, test = open_source("digits"), open_source("digits", "test")
    assert (len(train), len(test)) == (1437, 360)
    assert train.images.shape == (1437, 32, 32, 3) and train.images.dtype == np.uint8
    assert train.images.max() == 255 and train.class_names == tuple("0123456789")
    assert np.bincount(test.labels).min() >= 34
    np.testing.assert_array_equal(test.labels[:8], open_source("digits", "test").labels[:8])
    both = np.concatenate([train.images, test.images]).reshape(1797, -1)
    assert len(np.unique(both, axis=0)) > 1780  # no digit is in both


@pytest.mark.parametrize("compressed", [False, True])
def test_idx_plain_or_gzipped(idx_folder, compressed):
    expected = open_source(f"idx:{idx_folder}")
    if compressed:
        for path in list(idx_folder.iterdir()):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    source = open_source(f"idx:{idx_folder}")
    assert source.images.shape == (12, 7, 6, 3)
    np.testing.assert_array_equal(source.images, expected.images)
    np.testing.assert_array_equal(source.images[..., 0], source.images[..., 2])
    np.testing.assert_array_equal(source.labels, np.arange(12) % 3)
    assert source.labels.dtype == np.int64 and source.class_names == ("0", "1", "2")
    assert len(open_source(f"idx:{idx_folder}", "test")) == 5
    np.testing.assert_array_equal(source.read(3), source.images[3])


def test_select_keeps_images_and_labels_together(idx_folder):
    source = open_source(f"idx:{idx_folder}")
    chosen = source.select([7, 2])
    assert len(chosen) == 2 and chosen.class_names == source.class_names
    np.testing.assert_array_equal(chosen.images, source.images[[7, 2]])
    np.testing.assert_array_equal(chosen.labels, source.labels[[7, 2]])


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    path.write_bytes(
        {
            "text": b"hello, this is no image",
            "empty": b"",
            "short": data[:-10],
            "long": data + b"\0",
            "header only": data[:6],
            "floats": data[:2] + b"\x0d" + data[3:],
        }[kind]
    )


@pytest.mark.parametrize("kind", ["text", "empty", "short", "long", "header only", "floats"])
def test_a_damaged_idx_file_is_named(idx_folder, kind):
    path = idx_folder / "train-images-idx3-ubyte"
    damage(path, kind)
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        open_source(f"idx:{idx_folder}")


def test_a_damaged_gzip_is_named(idx_folder):
    path = idx_folder / "train-images-idx3-ubyte"
    packed = gzip.compress(path.read_bytes())
    path.with_name(path.name + ".gz").write_bytes(packed[: len(packed) // 2])
    path.unlink()
    with pytest.raises(UserError, match="fetch the file again"):
        open_source(f"idx:{idx_folder}")


def test_labels_of_another_data_set_are_refused(idx_folder):
    write_idx(idx_folder / "train-labels-idx1-ubyte", np.zeros(11))
    with pytest.raises(UserError, match="12 images"):
        open_source(f"idx:{idx_folder}")


def test_a_missing_idx_file_is_named(tmp_path):
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        open_source(f"idx:{tmp_path}")


@pytest.mark.parametrize("spec", ["", "mnist", "digits:8", "idx:", "folder:", "imagefolder:x"])
def test_an_unknown_source_lists_the_known_ones(spec):
    with pytest.raises(UserError, match=r"digits .*idx:DIR .*a folder .*for example photos"):
        open_source(spec)


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="train or test"):
        open_source("digits", "validation")


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_mnist_of_debian():
    train = open_source(f"idx:{FASHION_MNIST}")
    assert train.images.shape == (60_000, 28, 28, 3)
    assert train.class_names[9] == "ankle boot"
    np.testing.assert_array_equal(train.labels[:5], [9, 0, 0, 3, 0])
    test = open_source(f"idx:{FASHION_MNIST}", "test")
    np.testing.assert_array_equal(np.bincount(test.labels), np.full(10, 1000))
