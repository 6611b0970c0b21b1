"""Videos: frames by time and by change, kept, and what is damaged or made to do harm."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from s2bnn_tf.data import (
    Listed,
    list_splits,
    load_image,
    open_all,
    open_images,
    open_source,
    sample_video,
    video,
    write_list,
)
from s2bnn_tf.errors import DataError

RATE = 10
WIDTH, HEIGHT = 96, 64


def scene(number: int, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """A picture of large colored squares that no other number has."""
    colors = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(colors, shape[::-1], interpolation=cv2.INTER_NEAREST)


def write(path: Path, frames, codec: str = "mp4v", rate: float = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = list(frames)
    height, width = frames[0].shape[:2]
    fourcc = cv2.VideoWriter_fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, rate, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def scenes(path: Path, count: int, first: int = 0, **options) -> Path:
    """A video whose scene changes every second."""
    return write(path, (scene(first + i // RATE) for i in range(count * RATE)), **options)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Frames without an output directory go to a cache of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "s2bnn_tf" / "frames"


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.webm", "VP80")]
)
def test_one_frame_a_second_of_what_changes(name, codec, tmp_path):
    frames = sample_video(scenes(tmp_path / name, 5, codec=codec), tmp_path / "frames").frames
    assert len(frames) == 5
    for number, path in enumerate(frames):
        assert abs(int(path.stem) - 100 * number) <= 10, path
        wanted = scene(number)[..., ::-1].astype(float)
        assert np.abs(load_image(path) - wanted).mean() < 25, "the colors are RGB, in order"


def test_a_static_video_yields_one_frame(tmp_path):
    noise = np.random.default_rng(0)
    still = scene(1).astype(int)
    frames = (np.clip(still + noise.integers(-9, 10, still.shape), 0, 255) for _ in range(80))
    path = write(tmp_path / "still.mp4", (frame.astype(np.uint8) for frame in frames))
    assert len(sample_video(path, tmp_path / "frames").frames) == 1


def test_something_small_that_moves_is_a_change(tmp_path):
    def frame(index: int) -> np.ndarray:
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        left = 8 * (index // RATE)
        picture[20:36, left : left + 12] = 230
        return picture

    path = write(tmp_path / "walk.mp4", map(frame, range(6 * RATE)))
    assert len(sample_video(path, tmp_path / "frames").frames) == 6


def test_a_long_video_is_covered_to_its_end(tmp_path, monkeypatch):
    """Above the cap every second frame goes, so the rest is spread evenly."""
    monkeypatch.setattr(video, "MOST_FRAMES", 8)
    frames = sample_video(scenes(tmp_path / "long.mp4", 30), tmp_path / "frames").frames
    seconds = [int(path.stem) / 100 for path in frames]
    assert 4 <= len(frames) <= 8
    assert seconds[0] < 0.2 and seconds[-1] > 22
    assert np.ptp(np.diff(seconds)) < 0.5
    assert sorted(frames[0].parent.glob("*.jpg")) == frames, "no file is left behind"


def test_large_frames_are_stored_smaller(tmp_path):
    path = write(tmp_path / "large.mp4", [scene(1, (1200, 2000))] * 3)
    height, width, _ = load_image(sample_video(path, tmp_path / "frames").frames[0]).shape
    assert 0.9 * 2**20 < height * width <= 1.01 * 2**20
    assert abs(width / height - 2000 / 1200) < 0.01


def test_frames_are_decoded_once(tmp_path):
    path = scenes(tmp_path / "a.mp4", 3)
    frames = sample_video(path, tmp_path / "frames").frames
    before = [frame.stat().st_mtime_ns for frame in frames]
    assert sample_video(path, tmp_path / "frames").frames == frames
    assert [frame.stat().st_mtime_ns for frame in frames] == before
    frames[1].write_bytes(frames[1].read_bytes()[:100])
    again = sample_video(path, tmp_path / "frames").frames
    assert again == frames and frames[1].stat().st_size > 100, "what is not whole is made again"
    scenes(path, 4, first=50)
    changed = sample_video(path, tmp_path / "frames").frames
    assert len(changed) == 4 and changed[0].parent != frames[0].parent
    assert {entry.name for entry in (tmp_path / "frames").iterdir()} == {
        frames[0].parent.name,
        changed[0].parent.name,
    }


def test_a_name_with_everything_in_it(tmp_path):
    path = scenes(tmp_path / "a.mp4", 2).rename(tmp_path / os.fsdecode(b"%03d \xff:|\n.mp4"))
    assert len(sample_video(path, tmp_path / "frames").frames) == 2


def broken(folder: Path) -> dict[str, Path]:
    whole = scenes(folder / "whole.mp4", 3).read_bytes()
    found = {
        "text.mp4": b"not a video",
        "empty.mp4": b"",
        "cut.mp4": whole[: len(whole) // 2],
        "zeros.mkv": bytes(5000),
    }
    for name, data in found.items():
        (folder / name).write_bytes(data)
    (folder / "pipe.mp4").unlink(missing_ok=True)
    os.mkfifo(folder / "pipe.mp4")
    return {name: folder / name for name in (*found, "pipe.mp4", "gone.mp4")}


def test_a_video_that_cannot_be_decoded(tmp_path):
    reasons = {}
    for name, path in broken(tmp_path).items():
        with pytest.raises(DataError) as caught:
            sample_video(path, tmp_path / "frames")
        reasons[name] = str(caught.value)
    assert reasons.pop("pipe.mp4") == "it is not a regular file"
    assert reasons.pop("gone.mp4") == "no such file or directory"
    assert set(reasons.values()) == {"not a video that can be decoded"}
    assert not list((tmp_path / "frames").iterdir())


def test_mutants_are_decoded_or_refused(tmp_path, mutants):
    for name, codec in (("a.avi", "MJPG"), ("a.mp4", "mp4v")):
        data = scenes(tmp_path / name, 2, codec=codec).read_bytes()
        for number, mutant in enumerate(mutants(data, 6)):
            path = tmp_path / f"{number}-{name}"
            path.write_bytes(mutant)
            try:
                frames = sample_video(path, tmp_path / "frames").frames
            except DataError as error:
                assert "\n" not in str(error)
            else:
                assert 1 <= len(frames) <= video.MOST_FRAMES
                for frame in frames:
                    load_image(frame)


def test_a_file_that_names_other_files_opens_none(tmp_path):
    """FFmpeg would follow playlists, also those that are called .mp4, to files and to the net."""
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    secret = scenes(tmp_path / "secret.mp4", 2)
    url = f"http://127.0.0.1:{server.server_port}/a.ts"
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    texts = {
        "concat.mp4": f"ffconcat version 1.0\nfile '{secret}'\n",
        "list.mp4": playlist.format(secret),
        "net.mp4": playlist.format(url),
        "net.avi": playlist.format(url),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="not a video that can be decoded"):
            sample_video(tmp_path / name, tmp_path / "frames")
    server.shutdown()
    server.server_close()
    assert not asked


def test_a_video_that_takes_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "_MOST_MINUTES", 0)
    with pytest.raises(DataError, match="takes more than 0 minutes to decode; cut it into parts"):
        sample_video(scenes(tmp_path / "a.mp4", 2), tmp_path / "frames")


def test_progress_in_seconds_of_the_video(tmp_path):
    seen = []
    path = scenes(tmp_path / "a.mp4", 4)
    sample_video(path, tmp_path / "frames", lambda *said: seen.append(said))
    assert [done for _, done, _ in seen] == [0, 1, 2, 3]
    assert seen[0][0] == "Taking frames of a.mp4" and seen[0][2] == 4


def test_a_video_as_a_source(tmp_path, cache, caplog):
    path = scenes(tmp_path / "a.mp4", 5)
    with caplog.at_level(logging.INFO, "s2bnn_tf"):
        source = open_source(f"video:{path}")
    assert len(source) == 5 and source.labels is None
    assert all(frame.is_relative_to(cache) for frame in source.paths)
    assert f"Taking frames of {path}." in caplog.text
    assert f"{path}: 5 frames that differ." in caplog.text
    with pytest.raises(DataError, match="is one video, of which no part is held out to test"):
        open_source(f"video:{path}", "test")
    (tmp_path / "b.mp4").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"Cannot use the video .*b.mp4: not a video that can be"):
        open_source(f"video:{tmp_path / 'b.mp4'}")


@pytest.fixture
def mixed(tmp_path) -> Path:
    """Two classes of three videos each, with pictures beside them, and a broken video."""
    root = tmp_path / "mixed"
    for index, name in enumerate(("cat", "dog")):
        for number in range(3):
            first = 100 * index + 10 * number
            scenes(root / name / f"{number}.mp4", 3 + number, first=first)
        cv2.imwrite(str(root / name / "still.png"), scene(90 + index))
    (root / "dog" / "broken.MOV").write_bytes(b"\0" * 99)
    return root


def test_a_folder_of_videos_and_pictures(mixed, caplog):
    with caplog.at_level(logging.INFO, "s2bnn_tf"):
        train, test = (open_source(str(mixed), split) for split in ("train", "test"))
    assert train.class_names == ("cat", "dog")
    assert len(train) + len(test) == 2 * (3 + 4 + 5 + 1)
    assert "26 pictures in 2 classes" in caplog.text
    assert "24 of them are frames of 6 videos" in caplog.text
    assert f"video {mixed / 'dog' / 'broken.MOV'}: not a video that can be decoded" in caplog.text
    for split in (train, test):
        for path, label in zip(split.paths, split.labels):
            if path.suffix == ".png":
                assert path.parent.name == ("cat", "dog")[label]
            else:
                of = json.loads((path.parent / "frames.json").read_text())["video"]
                assert Path(of).parent.name == ("cat", "dog")[label]
    videos = [{path.parent for path in split.paths} for split in (train, test)]
    assert not videos[0] & videos[1], "a video is on one side"
    assert set(test.labels) == {0, 1}


def test_everything_that_is_named_is_opened_in_its_order(mixed, tmp_path):
    """Files, folders, videos, frames by their names, and sources with their splits."""
    clip = scenes(tmp_path / "clip.mp4", 3)
    picture = next(path for path in open_images([mixed]).paths if path.suffix == ".png")
    sources = open_all([picture, clip, mixed, "digits", f"video:{clip}"])
    assert [type(source).__name__ for source in sources] == [
        *("FileSource", "ArraySource", "ArraySource", "FileSource")
    ]
    assert [source.split for source in sources[1:3]] == ["train", "test"]
    names = [sources[0].identify(index) for index in range(len(sources[0]))]
    frames = [str(clip / name) for name in ("0000000000.jpg", "0000000100.jpg", "0000000200.jpg")]
    assert names[0] == str(picture) and names[1:4] == frames
    assert {Path(name).parent.name for name in names[4:]} >= {"0.mp4", "cat", "dog"}
    assert [sources[3].identify(index) for index in range(3)] == frames
    (again,) = open_all(frames[1:])
    np.testing.assert_array_equal(again.read(0), sources[0].read(2))
    assert again.identify(1) == frames[2]
    for name in (clip / "0000000150.jpg", tmp_path / "nowhere.mp4", tmp_path / "nowhere" / "1.jpg"):
        with pytest.raises(DataError, match=f"There is no image or folder {name}"):
            open_all([name])


def test_a_list_of_frames_knows_their_video(tmp_path):
    clip = scenes(tmp_path / "clip.mp4", 2)
    frames = sample_video(clip, tmp_path / "frames").frames
    other = tmp_path / "0000000000.jpg"  # a picture that has the name of a frame
    shutil.copy(frames[0], other)
    write_list(tmp_path / "list.tsv", [Listed(path) for path in (*frames, other)])
    source = open_source(f"list:{tmp_path / 'list.tsv'}")
    names = [source.identify(index) for index in range(3)]
    assert names == [str(clip / "0000000000.jpg"), str(clip / "0000000100.jpg"), str(other)]
    assert source.select([1]).identify(0) == names[1]


def test_a_copy_of_a_video_stays_on_its_side(mixed):
    for number in range(4):
        shutil.copy(mixed / "cat" / "2.mp4", mixed / "cat" / f"copy{number}.mp4")
    train, test = (open_source(str(mixed), split) for split in ("train", "test"))
    contents = [{path.read_bytes() for path in split.paths} for split in (train, test)]
    assert not contents[0] & contents[1]


def test_videos_in_splits(tmp_path):
    for split, first in (("train", 0), ("val", 50)):
        scenes(tmp_path / "data" / split / "a.mp4", 3, first=first)
        scenes(tmp_path / "data" / split / "cat" / "b.mp4", 3, first=first + 10)
    scenes(tmp_path / "data" / "beside.mp4", 2, first=90)
    listings = list_splits(tmp_path / "data", tmp_path / "frames")
    for listing in listings.values():
        assert listing.class_names == ("cat",) and sorted(listing.labels) == [-1] * 3 + [0] * 3
        assert {path.name for path in listing.videos.values()} == {"a.mp4", "b.mp4"}
    assert "2 beside the splits" in listings["train"].said


def test_a_folder_of_broken_videos(tmp_path):
    broken(tmp_path / "clips")
    (tmp_path / "clips" / "whole.mp4").unlink()
    with pytest.raises(DataError, match=r"There is no train image in .*video .*: not a video that"):
        open_source(str(tmp_path / "clips"))
