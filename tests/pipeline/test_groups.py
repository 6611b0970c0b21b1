"""Near-duplicates and bursts stay on one side."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from s2bnn_tf.data import open_images
from s2bnn_tf.pipeline.groups import capture_moment, find_groups, hold_out


def groups_of(folder) -> dict[str, int]:
    source = open_images([folder])
    numbers = find_groups(source).tolist()
    return {source.paths[i].name: number for i, number in enumerate(numbers)}


def test_the_same_picture_in_other_forms(photographs, tmp_path):
    image = photographs["temple1"]
    image.save(tmp_path / "whole.png")
    image.resize((77, 77)).save(tmp_path / "small.png")
    image.save(tmp_path / "compressed.jpg", quality=30)
    image.crop((3, 3, 197, 197)).save(tmp_path / "hardly-cropped.png")
    photographs["temple2"].save(tmp_path / "beside.png")
    photographs["dahlia1"].save(tmp_path / "other.png")
    groups = groups_of(tmp_path)
    same = {groups[name] for name in groups if name not in ("beside.png", "other.png")}
    assert len(same) == 1
    assert len(set(groups.values())) == 3


def test_parts_of_one_photograph_are_no_duplicates(crops):
    groups = groups_of(crops / "temple1")
    assert len(set(groups.values())) >= 11


def test_pictures_without_contrast_are_no_duplicates(tmp_path):
    for value in (10, 10, 200):
        name = f"{len(list(tmp_path.iterdir()))}.png"
        Image.new("RGB", (50 + value, 50), (value,) * 3).save(tmp_path / name)
    assert len(set(groups_of(tmp_path).values())) == 3


def save_taken(
    image: Image.Image, path, moment: str, camera: str = "A", fraction: str = ""
) -> None:
    exif = Image.Exif()
    exif[0x0110] = camera
    details = exif.get_ifd(0x8769)
    details[0x9003] = moment
    if fraction:
        details[0x9291] = fraction
    image.save(path, exif=exif)


def test_bursts_by_the_time_of_capture(photographs, tmp_path):
    images = list(photographs.values())
    save_taken(images[0], tmp_path / "z.jpg", "2020:01:01 10:00:00")
    save_taken(images[1], tmp_path / "a.jpg", "2020:01:01 10:00:01", fraction="5")
    save_taken(images[2], tmp_path / "m.jpg", "2020:01:01 10:00:03")
    save_taken(images[3], tmp_path / "later.jpg", "2020:01:01 10:00:09")
    save_taken(images[4], tmp_path / "other-camera.jpg", "2020:01:01 10:00:00", "B")
    groups = groups_of(tmp_path)
    assert groups["z.jpg"] == groups["a.jpg"] == groups["m.jpg"]
    assert len(set(groups.values())) == 3
    camera, moment = capture_moment(tmp_path / "a.jpg")
    assert camera == "A" and moment % 60 == 1.5


@pytest.mark.parametrize("moment", ["", "yesterday", "0000:00:00 00:00:00", "2020:13:45 99:99:99"])
def test_a_moment_that_is_none(moment, photographs, tmp_path):
    save_taken(photographs["temple0"], tmp_path / "a.jpg", moment)
    assert capture_moment(tmp_path / "a.jpg") is None
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe1\x00\x10Exif\0\0broken")
    assert capture_moment(tmp_path / "b.jpg") is None


def test_held_out_in_whole_groups_and_a_share_of_each_class():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [100, 50, 2])
    groups = np.arange(152)
    groups[:30] = groups[30:60] = np.arange(30)  # pairs
    keys = [hashlib.sha256(bytes(rng.integers(0, 256, 8, dtype=np.uint8))).digest() for _ in labels]
    chosen = hold_out(groups, labels, keys, 0.2)
    for group in np.unique(groups):
        assert len(set(chosen[groups == group])) == 1
    assert chosen[labels == 0].sum() == 20
    assert chosen[labels == 1].sum() == 10
    assert not chosen[labels == 2].any(), "two pictures are too few to hold one out of five"
    assert not hold_out(groups, labels, keys, 0.0).any()


def test_a_class_of_one_group_is_not_held_out():
    labels, groups = np.zeros(10, np.int64), np.zeros(10, np.int64)
    keys = [bytes([i]) for i in range(10)]
    assert not hold_out(groups, labels, keys, 0.9).any()
