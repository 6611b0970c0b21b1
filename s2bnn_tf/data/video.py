"""Videos become folders of pictures: a few frames of each, decoded once and kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2bnn_tf.data import video_worker
from s2bnn_tf.errors import DataError
from s2bnn_tf.files import write_json
from s2bnn_tf.progress import Progress, no_progress
from s2bnn_tf.reading import Number, Object, Text, open_regular, read_json
from s2bnn_tf.text import printable

logger = logging.getLogger(__name__)

# fmt: off
VIDEO_EXTENSIONS = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv",
    ".flv", ".3gp", ".ogv",
)
# fmt: on
MOST_FRAMES = 1000  # of one video
INTERVAL = 1.0  # seconds between two frames, at the least
_MOST_MINUTES = 30  # to decode one video
_VERSION = 1  # of how frames are chosen and written
_INDEX = "frames.json"
_NAME = re.compile(r"\d{10,11}\.jpg")
_STALE_SECONDS = 86_400.0  # of what a killed process has left


@dataclass(frozen=True)
class Video:
    """The frames that were taken from one video.

    Attributes:
        path: The video.
        frames: JPEG files in the order of time, named by their hundredths of a second.
    """

    path: Path
    frames: list[Path]


def find_videos(paths: Iterable[Path]) -> dict[Path, Path]:
    """The video of each of these files that is a frame which `sample_video` has written."""
    videos: dict[Path, Path] = {}
    folders: dict[Path, Path | None] = {}
    for path in paths:
        if not _NAME.fullmatch(path.name):
            continue
        if path.parent not in folders:
            folders[path.parent] = _read_video(path.parent)
        video = folders[path.parent]
        if video is not None:
            videos[path] = video
    return videos


def is_video(path: Path) -> bool:
    """Whether the name of a file ends as that of a video."""
    return path.suffix.lower() in VIDEO_EXTENSIONS


def default_frames_dir() -> Path:
    """The folder for frames where there is no output directory: a cache that may be removed."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "s2bnn_tf" / "frames"


def sample_video(path: Path, frames_dir: Path, progress: Progress | None = None) -> Video:
    """Take frames of a video: at most one a second, and only those that differ from the one before.

    There are at most 1,000, spread over the whole video, each of at most a megapixel. They are
    decoded in a process with limits of memory and time, and written to a folder that appears whole
    or not at all. As long as the video is unchanged, they are not decoded again.

    Args:
        path: The video.
        frames_dir: The folder for the frames of all videos.
        progress: Called with the seconds of the video that are done; by default, a line is
            logged.

    Returns:
        The frames, at least one.

    Raises:
        DataError: If the video cannot be decoded; the message is the reason alone.
        OSError: If the frames cannot be written.
    """
    try:
        opened = open_regular(path)
    except OSError as error:
        raise DataError((error.strerror or str(error)).lower()) from error
    with opened as file:
        status = os.fstat(file.fileno())
        facts = (str(path.resolve()), status.st_size, status.st_mtime_ns, _VERSION)
        digest = hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()
        folder = frames_dir / f"{_plain(path.stem)}-{digest[:16]}"
        frames = _read_index(folder)
        if frames is None:
            if progress is None:
                logger.info("Taking frames of %s.", printable(str(path)))
            _decode_into(folder, file.fileno(), path, progress or no_progress)
            frames = _read_index(folder)
    if frames is None:
        raise DataError(f"its frames in {folder} do not stay whole")
    return Video(path, frames)


def _read_index(folder: Path) -> list[Path] | None:
    """The frames of a folder, if all of them are there and whole."""
    fields = {"frames": Object(values=Number(low=1, whole=True))}
    try:
        content = read_json(folder / _INDEX, fields, cure="remove it", error=DataError)
    except (FileNotFoundError, NotADirectoryError, DataError):
        return None
    sizes: dict[str, int] = content["frames"]
    frames = [folder / name for name in sorted(sizes) if _NAME.fullmatch(name)]
    with contextlib.suppress(OSError):
        if frames and all(path.lstat().st_size == sizes[path.name] for path in frames):
            return frames
    return None


def _read_video(folder: Path) -> Path | None:
    """The video that the frames of a folder were taken from; None if it is no such folder."""
    try:
        content = read_json(folder / _INDEX, {"video": Text()}, cure="remove it", error=DataError)
    except (OSError, DataError):
        return None
    return Path(content["video"])


def _decode_into(folder: Path, file: int, path: Path, progress: Progress) -> None:
    """Decode a video into a new folder, which takes its place at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(folder.parent)
    partial = Path(tempfile.mkdtemp(prefix=".", suffix=f"-{folder.name}", dir=folder.parent))
    try:
        what = f"Taking frames of {path.name}"
        result = _run_worker(file, partial, lambda done, total: progress(what, done, total))
        write_json(partial / _INDEX, {"video": str(path), "frames": result})
        partial.chmod(0o755)  # mkdtemp makes it private
        if _read_index(folder) is None:  # no other process was faster
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run_worker(file: int, folder: Path, report: Any) -> dict[str, int]:
    """Let the worker write frames, and return the size of each by its name."""
    task = {
        "file": file,
        "folder": str(folder),
        "most": MOST_FRAMES,
        "interval": INTERVAL,
        "cpu_seconds": _MOST_MINUTES * 60 * 8,
    }
    with subprocess.Popen(
        [sys.executable, "-I", video_worker.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # FFmpeg's remarks on every damaged part
        text=True,
        pass_fds=[file],
    ) as worker:
        result: dict[str, Any] = {}
        with _ended(worker) as timed_out:
            assert worker.stdin is not None and worker.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.write(json.dumps(task))
                worker.stdin.close()
            for line in worker.stdout:
                with contextlib.suppress(ValueError):  # cut short
                    result = json.loads(line)
                if "second" in result and result["of"]:
                    report(min(result["second"], result["of"]), result["of"])
    if timed_out.is_set():
        raise DataError(f"it takes more than {_MOST_MINUTES} minutes to decode; cut it into parts")
    if "os_error" in result:  # the disk is full
        raise OSError(*result["os_error"], str(folder.parent))
    if "frames" not in result:
        raise DataError(result.get("error", "the decoder has failed on it"))
    frames: dict[str, int] = result["frames"]
    return frames


@contextlib.contextmanager
def _ended(worker: subprocess.Popen[str]) -> Iterator[threading.Event]:
    """End a worker with the block, whatever happens, or when its time is over, which is noted."""
    timed_out = threading.Event()

    def stop() -> None:
        timed_out.set()
        worker.kill()

    timer = threading.Timer(60 * _MOST_MINUTES, stop)
    timer.daemon = True
    timer.start()
    try:
        yield timed_out
    except BaseException:
        worker.kill()
        raise
    finally:
        timer.cancel()


def _remove_stale(frames_dir: Path) -> None:
    """Remove what killed processes have left, once it is a day old."""
    for partial in frames_dir.glob(".*-*"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(partial, ignore_errors=True)


def _plain(stem: str) -> str:
    """A part of the name of a video that any file system takes."""
    return re.sub(r"[^\w-]+", "_", printable(stem), flags=re.ASCII)[:40]
