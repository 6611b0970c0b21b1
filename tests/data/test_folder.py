"""Folders of real image files, whole and broken."""

from __future__ import annotations

import itertools
import logging
import os
import re
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from s2bnn_tf.data import labeled_dataset, load_image, open_images, open_source, pictures
from s2bnn_tf.data.folder import list_folder
from s2bnn_tf.data.pictures import decode, find_pictures, upright_size
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


_SEEDS = itertools.count()
NOBODY = 65534


def distinct(height: int = 4, width: int = 4) -> np.ndarray:
    """A picture that no other picture of these tests equals."""
    rng = np.random.default_rng(next(_SEEDS))
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


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
    with path.open("rb") as file:
        assert upright_size(file) == upright.shape[:2]


def test_a_large_jpeg_is_decoded_small_but_never_too_small(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.jpg", gradient(400, 600), exif=exif)
    image = decode(path.read_bytes(), (140.2, 90.0))
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
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    with pytest.raises(UserError, match="megapixels"):
        load_image(path)
    with pytest.raises(UserError, match="None of the 1"):
        open_source(f"folder:{tmp_path}")


def test_scan_is_sorted_and_leaves_out_what_is_no_image(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.webp", ".hidden.png", ".cache/d.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    found = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path).paths]
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
            save(tmp_path / name / "nested" / f"{number}.png", distinct())
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


@pytest.mark.parametrize("held_out", ["val", "test", "Valid", "validation", "TESTING"])
def test_train_and_val_folders(tmp_path, held_out):
    for name in ("train/a/1.png", "train/c/2.png", f"{held_out}/b/3.png", f"{held_out}/c/4.png"):
        save(tmp_path / name, distinct())
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


def names_of(source) -> list[str]:
    return sorted(path.name for path in source.paths)


@pytest.mark.parametrize("train", ["Train", "training"])
def test_splits_are_known_in_any_case(tmp_path, train):
    for name in (f"{train}/cat/1.png", f"{train}/dog/2.png", "Valid/cat/3.png", "extra/4.png"):
        save(tmp_path / name, distinct())
    assert names_of(open_source(f"folder:{tmp_path}")) == ["1.png", "2.png"]
    assert names_of(open_source(f"folder:{tmp_path}", "test")) == ["3.png"]
    assert "left out: 1 in extra" in list_folder(tmp_path, "train").said


@pytest.mark.parametrize("folders", [("train", "holdout"), ("dev", "eval"), ("val", "dev", "a")])
def test_what_looks_like_splits_and_is_not_understood_is_refused(tmp_path, folders):
    for name in folders:
        save(tmp_path / name / "cat" / "1.png", distinct())
    with pytest.raises(UserError, match="look like splits and are not understood"):
        open_source(f"folder:{tmp_path}")


def test_one_wrapping_folder_is_seen_through_and_said(tmp_path):
    for name in ("cat", "dog"):
        for number in range(5):
            save(tmp_path / "data set" / "images" / name / f"{number}.png", distinct())
    (tmp_path / "__MACOSX").mkdir()
    listing = list_folder(tmp_path, "test")
    assert listing.class_names == ("cat", "dog") and len(listing.paths) == 2
    assert f"found inside {tmp_path / 'data set' / 'images'}" in listing.said


def test_no_class_without_a_picture(tmp_path):
    for name in ("cat", "dog"):
        save(tmp_path / name / "1.png", distinct())
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    assert open_source(f"folder:{tmp_path}").class_names == ("cat", "dog")


def test_one_line_says_what_was_found_and_what_was_left_out(tmp_path):
    for name in ("cat", "dog"):
        for number in range(5):
            save(tmp_path / name / f"{number}.png", distinct())
    for name in ("cat/a.heic", "cat/b.HEIC", "dog/c.svg", "dog/README", "dog/.DS_Store"):
        (tmp_path / name).touch()
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "absent.png")
    (tmp_path / "dog" / "again.png").symlink_to(tmp_path / "cat" / "0.png")
    os.mkfifo(tmp_path / "dog" / "pipe.png")
    save(tmp_path / "dog" / "equal.png", np.asarray(Image.open(tmp_path / "cat" / "1.png")))
    said = list_folder(tmp_path, "train").said
    assert said.startswith(f"{tmp_path}: 11 pictures in 2 classes, ")
    assert re.search(r"[89] to train and [23] held out to test;", said)
    assert "1 links to them, which count once" in said
    assert "2 of them have equal contents and stay on one side" in said
    for reason in ("2 .heic", "1 .svg", "1 without an ending", "1 broken link", "1 not a regular"):
        assert reason in said, said


@pytest.fixture
def as_somebody():
    """A folder whose owner is not root, who may read every folder, and neither is this process."""
    with tempfile.TemporaryDirectory() as folder:
        user = os.geteuid()
        if user == 0:
            os.chown(folder, NOBODY, -1)
            os.seteuid(NOBODY)
        yield Path(folder)
        os.seteuid(user)


def test_a_closed_folder_is_said(as_somebody):
    save(as_somebody / "1.png")
    (as_somebody / "2021").mkdir(mode=0)
    assert "2021: permission denied" in list_folder(as_somebody, "train").said


def test_equal_files_stay_on_one_side(tmp_path):
    for number in range(40):
        save(tmp_path / "cat" / f"{number}.png", distinct() if number % 4 else gradient())
        save(tmp_path / "dog" / f"{number}.png", distinct())
    twins = {f"{number}.png" for number in range(0, 40, 4)}
    sides = [
        {path.name for path in list_folder(tmp_path, split).paths if path.parent.name == "cat"}
        for split in ("train", "test")
    ]
    assert [bool(twins & side) for side in sides].count(True) == 1
    assert len(sides[0] | sides[1]) == 40


def test_a_test_image_that_is_also_a_training_image_is_left_out(tmp_path):
    for name in ("train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/dog/4.png"):
        save(tmp_path / name, distinct())
    save(
        tmp_path / "test" / "cat" / "same.png", np.asarray(Image.open(tmp_path / "train/cat/1.png"))
    )
    listing = list_folder(tmp_path, "test")
    assert [path.name for path in listing.paths] == ["3.png", "4.png"]
    assert "1 test images that are also training images" in listing.said


def test_links_are_followed_but_no_folder_twice(tmp_path):
    save(tmp_path / "disk" / "a.png", distinct())
    photos = tmp_path / "photos"
    (photos / "b").mkdir(parents=True)
    save(photos / "b" / "b.png", distinct())
    (photos / "farm.png").symlink_to(tmp_path / "disk" / "a.png")
    (photos / "b" / "loop").symlink_to(photos, target_is_directory=True)
    found = find_pictures(photos)
    assert sorted(path.name for path in found.paths) == ["b.png", "farm.png"]


def test_a_class_of_two_images_has_the_right_reason(tmp_path):
    for name in ("cat", "dog"):
        for number in range(2):
            save(tmp_path / name / f"{number}.png", distinct())
    with pytest.raises(UserError, match="too few images to hold a fifth of them out"):
        open_source(f"folder:{tmp_path}", "test")


def test_a_plain_path_is_a_folder(tmp_path):
    save(tmp_path / "1.png")
    assert len(open_source(str(tmp_path))) == 1


def test_class_names_are_fit_to_be_shown(tmp_path):
    for name in (b"caf\xe9", b"red \x1b[31m", "täglich".encode()):
        folder = os.fsencode(tmp_path) + b"/" + name
        os.mkdir(folder)
        Image.fromarray(distinct()).save(os.fsdecode(folder + b"/1.png"))
    source = open_source(f"folder:{tmp_path}")
    assert source.class_names == ("caf\\udce9", "red \\x1b[31m", "täglich")
    assert len(source) == 3 and source.read(0).shape == (4, 4, 3)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "f.png")
    with pytest.raises(UserError, match="not a regular file"):
        load_image(tmp_path / "f.png")
    with pytest.raises(UserError, match="None of the 1 .*not a regular file"):
        open_images([tmp_path / "f.png"])


def test_another_format_is_not_opened_whatever_its_name(tmp_path):
    """Pillow would hand a PostScript file to Ghostscript, which runs programs."""
    canary = tmp_path / "canary"
    (tmp_path / "cat.jpg").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
        f"({canary}) (w) file closefile\nshowpage\n"
    )
    with pytest.raises(UserError, match="not an image"):
        load_image(tmp_path / "cat.jpg")
    assert not canary.exists()
    for suffix in (".tiff", ".avif"):
        assert load_image(save(tmp_path / f"a{suffix}")).shape == (40, 60, 3)


def test_a_jpeg_damaged_in_the_middle_is_refused(tmp_path):
    path = save(tmp_path / "a.jpg", distinct(200, 200), quality=90)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(UserError, match="Cannot read .*a.jpg: damaged"):
        load_image(path)


def test_long_comments_and_bad_metadata_lose_no_picture(tmp_path):
    comment = PngImagePlugin.PngInfo()
    comment.add_text("comment", "x" * 2_000_000, zip=True)
    path = save(tmp_path / "a.png", pnginfo=comment)
    np.testing.assert_array_equal(load_image(path), gradient())
    assert len(open_images([path])) == 1
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, TiffImagePlugin.IFDRational(1, 0)
    path = save(tmp_path / "b.jpg", exif=exif)
    assert load_image(path).shape == (60, 40, 3)


def test_a_source_of_many_files_has_a_short_name(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(1002)]
    for path in paths:
        Image.new("RGB", (4, 4)).save(path)
    assert open_images(paths).name == f"{paths[0]}, {paths[1]} and 1,000 others"


@pytest.mark.parametrize("shape", [(1, 2_000_000), (2_000_000, 1), (3, 60_000)])
def test_a_thin_picture_takes_no_more_memory_than_others(tmp_path, shape):
    path = save(tmp_path / "thin.png", np.zeros((*shape, 3), np.uint8))
    source = open_images([path])
    tracemalloc.start()
    dataset = labeled_dataset(source, image_size=64, batch_size=1, center_crop=0.875)
    ((images, _),) = dataset.as_numpy_iterator()
    assert images.shape == (1, 64, 64, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2**20
