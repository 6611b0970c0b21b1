"""Folders of real image files, whole and broken."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.data import decode, load_image, open_source
from s2bnn_tf.data.folder import scan
from s2bnn_tf.errors import UserError


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    """A picture whose corners differ, so that a wrong orientation shows."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [255 * rows / height, 255 * columns / width, np.full((height, width), 90)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def save(path: Path, values: np.ndarray | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(gradient() if values is None else values).save(path, **options)
    return path


def truncate(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-400])
    return path


@pytest.mark.parametrize(
    "name, tolerance", [("a.png", 0), ("a.bmp", 0), ("a.jpg", 6), ("a.webp", 12), ("a.gif", 30)]
)
def test_formats(tmp_path, name, tolerance):
    image = load_image(save(tmp_path / name)).astype(int)
    assert image.shape == (40, 60, 3)
    assert np.abs(image - gradient()).mean() <= tolerance


def test_grayscale_becomes_three_equal_channels(tmp_path):
    image = load_image(save(tmp_path / "a.png", gradient()[..., 0]))
    np.testing.assert_array_equal(image, np.repeat(gradient()[..., :1], 3, axis=-1))


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    image = load_image(save(tmp_path / "a.png", values))
    np.testing.assert_allclose(image[..., 1], values / 257, atol=0.51)


def test_cmyk_keeps_its_colors(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(gradient()).convert("CMYK").save(path, quality=95)
    with Image.open(path) as stored:
        assert stored.mode == "CMYK"
    assert np.abs(load_image(path).astype(int) - gradient()).mean() < 6


def test_transparent_pixels_are_white(tmp_path):
    alpha = np.zeros((40, 60, 1), np.uint8)
    alpha[:, 30:] = 255
    path = save(tmp_path / "a.png", np.concatenate([gradient(), alpha], axis=-1))
    image = load_image(path)
    assert (image[:, :30] == 255).all()
    np.testing.assert_array_equal(image[:, 30:], gradient()[:, 30:])


def test_palette_with_transparency(tmp_path):
    values = np.zeros((8, 8), np.uint8)
    values[:, 4:] = 1
    picture = Image.fromarray(values).convert("P")
    picture.putpalette([200, 0, 0, 0, 150, 0])
    picture.save(tmp_path / "a.png", transparency=bytes([0, 255]))
    image = load_image(tmp_path / "a.png")
    assert (image[:, :4] == 255).all() and (image[:, 4:] == (0, 150, 0)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = load_image(path).astype(int)
    stored = gradient().astype(int)
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    assert image.shape == upright.shape
    assert np.abs(image - upright).mean() < 4
    assert decode.read_size(path) == upright.shape[:2]


def test_a_large_jpeg_is_decoded_small_but_never_too_small(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.jpg", gradient(400, 600), exif=exif)
    image = decode.decode(path.read_bytes(), (140.2, 90.0))
    assert image.shape == (150, 100, 3)


@pytest.mark.parametrize(
    "content, reason", [(b"hello", "not an image"), (b"", "not an image"), (None, "no such file")]
)
def test_load_image_says_why_it_cannot(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        load_image(path)


def test_a_truncated_file_and_a_folder_have_reasons(tmp_path):
    with pytest.raises(UserError, match="truncated"):
        load_image(truncate(save(tmp_path / "a.jpg", gradient(200, 200))))
    with pytest.raises(UserError, match="a folder"):
        load_image(tmp_path)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png")
    monkeypatch.setattr(decode, "MAX_PIXELS", 1000)
    with pytest.raises(UserError, match="megapixels"):
        load_image(path)
    with pytest.raises(UserError, match="None of the 1"):
        open_source(f"folder:{tmp_path}")


def test_scan_is_sorted_and_leaves_out_what_is_no_image(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.webp", ".hidden.png", ".cache/d.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    found = [path.relative_to(tmp_path).as_posix() for path in scan(tmp_path)]
    assert found == ["a.png", "b.JPG", "sub/c.webp"]


def test_without_subfolders_there_are_no_labels(tmp_path):
    save(tmp_path / "a.png")
    source = open_source(f"folder:{tmp_path}")
    assert source.labels is None and source.class_names == () and len(source) == 1
    np.testing.assert_array_equal(source.read(0), gradient())
    with pytest.raises(UserError, match="one subfolder per class"):
        open_source(f"folder:{tmp_path}", "test")


def test_class_subfolders_are_split_the_same_every_time(tmp_path):
    for name in ("cat", "dog"):
        for number in range(10):
            save(tmp_path / name / "nested" / f"{number}.png", gradient(4, 4))
    save(tmp_path / "loose.png", gradient(4, 4))
    train = open_source(f"folder:{tmp_path}")
    test = open_source(f"folder:{tmp_path}", "test")
    assert train.class_names == test.class_names == ("cat", "dog")
    np.testing.assert_array_equal(np.bincount(test.labels), [2, 2])
    np.testing.assert_array_equal(np.bincount(train.labels + 1), [1, 8, 8])
    assert not set(train.paths) & set(test.paths)
    for path, label in zip(test.paths, test.labels):
        assert path.relative_to(tmp_path).parts[0] == test.class_names[label]
    # One file more or fewer elsewhere leaves a class's split as it was.
    save(tmp_path / "eel" / "0.png", gradient(4, 4))
    assert open_source(f"folder:{tmp_path}", "test").paths == test.paths


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_train_and_val_folders(tmp_path, held_out):
    for name in ("train/a/1.png", "train/c/2.png", f"{held_out}/b/3.png", f"{held_out}/c/4.png"):
        save(tmp_path / name)
    train = open_source(f"folder:{tmp_path}")
    test = open_source(f"folder:{tmp_path}", "test")
    assert train.class_names == test.class_names == ("a", "b", "c")
    assert train.labels.tolist() == [0, 2] and test.labels.tolist() == [1, 2]


def test_train_folder_without_classes_or_test(tmp_path):
    save(tmp_path / "train" / "1.png")
    assert open_source(f"folder:{tmp_path}").labels is None
    with pytest.raises(UserError, match="no folder .*val"):
        open_source(f"folder:{tmp_path}", "test")


def test_a_class_may_be_called_train(tmp_path):
    for name in ("car", "train"):
        save(tmp_path / name / "1.png")
    assert open_source(f"folder:{tmp_path}").class_names == ("car", "train")


def test_unreadable_files_are_counted_named_and_left_out(tmp_path, caplog):
    save(tmp_path / "good.jpg")
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        source = open_source(f"folder:{tmp_path}")
    assert [path.name for path in source.paths] == ["good.jpg"]
    assert {Path(name).name for name in source.unreadable} == {"text.jpg", "empty.png"}
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert message.startswith("Skipped 2 of 3 images") and "text.jpg (not an image)" in message


@pytest.mark.parametrize("content", ["nothing", "text", "truncated"])
def test_a_folder_with_nothing_to_read_is_refused(tmp_path, content):
    if content == "text":
        (tmp_path / "a.jpg").write_text("not a picture")
    if content == "truncated":
        for name in ("a.jpg", "b.jpg"):
            truncate(save(tmp_path / name, gradient(200, 200)))
    with pytest.raises(UserError, match="There is no train image|None of the"):
        open_source(f"folder:{tmp_path}")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no folder .*nowhere"):
        open_source(f"folder:{tmp_path / 'nowhere'}")
