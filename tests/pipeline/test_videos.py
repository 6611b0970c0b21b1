"""A fit of videos: whole videos are held out, or the ends of those that there are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from s2bnn_tf.cli import main
from s2bnn_tf.data import open_source
from s2bnn_tf.errors import DataError
from s2bnn_tf.pipeline import look_at
from s2bnn_tf.pipeline.groups import cut_videos, hold_out, join_videos
from s2bnn_tf.pipeline.look import check_unchanged


def sides(spec: str) -> dict[str, list[Path]]:
    return {split: list(open_source(spec, split).paths) for split in ("train", "test")}


def video_of(path: Path) -> str:
    return json.loads((path.parent / "frames.json").read_text())["video"]


def test_whole_videos_are_held_out(film, crops, tmp_path):
    for number, name in enumerate(("temple0", "temple1", "dahlia0", "dahlia1", "dahlia2")):
        film(tmp_path / "data" / f"{number}.mp4", name, 9)
    for picture in (crops / "temple2").iterdir():
        shutil.copy(picture, tmp_path / "data")
    look = look_at(tmp_path / "data", tmp_path / "out", share=0.2)
    found = sides(look.source)
    assert look.train + look.test == len(found["train"]) + len(found["test"]) > 50
    videos = [{video_of(p) for p in paths if p.suffix == ".jpg"} for paths in found.values()]
    assert not videos[0] & videos[1] and videos[0]
    assert 0.1 <= look.test / (look.train + look.test) <= 0.3
    frames = {path for paths in found.values() for path in paths if path.suffix == ".jpg"}
    assert all(path.is_relative_to(tmp_path / "out" / "frames") for path in frames)


def test_videos_beside_classes_are_learned_from(film, crops, tmp_path):
    film(tmp_path / "data" / "one.mp4", "temple0", 9)
    for name in ("temple2", "dahlia0"):
        shutil.copytree(crops / name, tmp_path / "data" / name)
    look = look_at(tmp_path / "data", tmp_path / "out", share=0.2)
    found = sides(look.source)
    assert sum(path.suffix == ".jpg" for path in found["train"]) == 9
    assert len(found["train"]) + len(found["test"]) == 33 and look.test >= 4


def test_two_videos_are_one_to_learn_from_and_one_to_measure(film, tmp_path):
    film(tmp_path / "data" / "long.mp4", "temple0", 30)
    film(tmp_path / "data" / "short.mp4", "dahlia0", 20)
    found = sides(look_at(tmp_path / "data", tmp_path / "out", share=0.2).source)
    assert {Path(video_of(path)).name for path in found["train"]} == {"long.mp4"}
    assert {Path(video_of(path)).name for path in found["test"]} == {"short.mp4"}


@pytest.mark.parametrize("prefix", ["", "video:"])
def test_a_single_video_is_cut_with_a_gap(prefix, film, tmp_path):
    path, said = film(tmp_path / "one.mp4", "temple1", 60), []
    look = look_at(
        f"{prefix}{path}", tmp_path / "out", share=0.2, progress=lambda *a: said.append(a)
    )
    found = sides(look.source)
    seconds = {split: [int(p.stem) / 100 for p in paths] for split, paths in found.items()}
    assert max(seconds["train"]) + 2 < min(seconds["test"]), "contiguous, with a gap between them"
    assert len(found["train"]) >= 40 and 8 <= len(found["test"]) <= 12
    lines = [line for line, *_ in said]
    assert any(
        "too few videos to hold out whole ones, so the end of each" in line for line in lines
    )
    assert ("Taking frames of one.mp4", 60, 60) in said or (
        "Taking frames of one.mp4",
        59,
        60,
    ) in said
    assert look.said[0] in lines


def test_a_class_of_one_video_each(film, tmp_path):
    for name in ("temple0", "dahlia0"):
        film(tmp_path / "data" / name / "a.mp4", name, 25)
    look = look_at(tmp_path / "data", tmp_path / "out", share=0.2)
    assert look.class_names == ("dahlia0", "temple0")
    test = open_source(look.source, "test")
    assert set(test.labels.tolist()) == {0, 1}


def test_nothing_is_held_out_of_a_video_if_nothing_is_asked_for(film, tmp_path):
    look = look_at(film(tmp_path / "one.mp4", "temple1", 40), tmp_path / "out", share=0)
    assert look.test == 0 and look.train >= 39


def test_too_few_frames(film, tmp_path):
    with pytest.raises(DataError, match="has 9 readable pictures; at least 32"):
        look_at(film(tmp_path / "one.mp4", "temple1", 9), tmp_path / "out", share=0.2)


def test_groups_of_a_video_are_joined_by_its_frames():
    a, b = Path("a.mp4"), Path("b.mp4")
    videos = [a, a, None, b, b, None, None]
    groups = np.array([0, 1, 2, 3, 4, 4, 6])  # a picture that resembles a frame of b
    joined = join_videos(groups, videos).tolist()
    assert joined[0] == joined[1] and joined[3] == joined[4] == joined[5]
    assert len(set(joined)) == 4


def test_the_smallest_video_is_held_out_where_none_fits():
    groups = np.repeat([0, 1, 2], [40, 30, 50])
    labels = np.full(120, -1)
    keys = [bytes([i]) for i in range(120)]
    assert hold_out(groups, labels, keys, 0.1).tolist() == [group == 1 for group in groups]
    assert not hold_out(groups, labels, keys, 0.0).any()


def test_the_gap_and_short_videos():
    videos = [Path("long.mp4")] * 100 + [Path("short.mp4")] * 3 + [None]
    test, kept = cut_videos(np.zeros(104, bool), videos, 0.2)
    assert np.flatnonzero(test).tolist() == list(range(80, 100))
    assert np.flatnonzero(~kept).tolist() == list(range(75, 80))


def test_packing_a_video(film, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = film(tmp_path / "one.mp4", "temple1", 5)
    done = CliRunner().invoke(main, ["data", "pack", f"video:{path}", str(tmp_path / "packed")])
    assert done.exit_code == 0, done.output
    assert len(open_source(f"tfrecord:{tmp_path / 'packed'}")) == 5


def test_files_folders_and_videos_in_one_list(film, crops, tmp_path):
    """A program may name them together; there are no classes then."""
    clip = film(tmp_path / "one.mp4", "temple1", 9)
    data = [crops / "temple0", clip, *sorted((crops / "dahlia0").iterdir())]
    look = look_at(data, tmp_path / "out", share=0.2)
    assert look.class_names == () and look.train + look.test == 33
    found = sides(look.source)
    frames = {
        split: [path for path in paths if path.suffix == ".jpg"] for split, paths in found.items()
    }
    assert sorted(map(len, frames.values())) == [0, 9], "frames of one video stay together"
    check_unchanged(data, look, tmp_path / "out")
    with pytest.raises(DataError, match="9 of the 33 pictures of .* gone"):
        check_unchanged([data[0], *data[2:]], look, tmp_path / "out")
