"""Sample the frames of one video, in a process of its own that its limits can end.

`video` starts it as a script, and it imports no more than OpenCV. It reads one JSON object from
standard input, writes one line of JSON whenever a second of the video has passed, and at last the
names of the frames. A video may be damaged, or made to do harm: FFmpeg, inside of OpenCV, follows
playlists to other files and to the network, so it may open one file and nothing else.
"""

import json
import math
import os
import resource
import sys
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

os.environ["OPENCV_FFMPEG_THREADS"] = str(min(8, os.cpu_count() or 1))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

_MEMORY = 4 * 2**30  # bytes of addresses; 8K video takes a half of it
_FILE_BYTES = 2**25  # of one frame as a JPEG
_MOST_PIXELS = 89_478_485  # of a frame, as of a picture
_STORED_PIXELS = 2**20  # larger frames are made smaller: no network here sees more
_QUALITY = 95
_GRID = 8  # a frame is compared as 8x8 mean colors
_CHANGED = 12.0  # of 255, the change of one of them that makes another picture
_USUAL_RATE = 25.0  # frames a second, where a video tells neither rate nor times


class Frame(NamedTuple):
    """A frame that is kept: its second, its file, and its mean colors (8, 8, 3)."""

    second: float
    path: Path
    colors: NDArray[np.float32]


def main() -> None:
    """Do the task on standard input, and report on standard output."""
    task = json.load(sys.stdin)
    for limit, value in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_CPU, task["cpu_seconds"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    # Of the lists of formats and protocols that FFmpeg knows, OpenCV 4.11 passes none on
    # (https://github.com/opencv/opencv/pull/26793); the kernel's limit holds for all of it.
    spare = os.open(os.devnull, os.O_RDONLY)
    os.close(spare)
    _limit_open_files(spare + 1)
    capture = cv2.VideoCapture(f"/dev/fd/{task['file']}", cv2.CAP_FFMPEG)
    if not capture.isOpened():
        _end(error="not a video that can be decoded")
    width, height = (
        capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    if not 0 < width * height <= _MOST_PIXELS:
        _end(error=f"frames of {width:.0f}x{height:.0f} pixels")
    folder, limits = Path(task["folder"]), {"most": task["most"], "interval": task["interval"]}
    try:
        frames = sample(capture, folder, **limits)
    except OSError as error:
        _end(os_error=[error.errno, error.strerror])
    if not frames:
        _end(error="no frame can be decoded")
    _end(frames={frame.path.name: frame.path.stat().st_size for frame in frames})


def sample(capture: Any, folder: Path, *, most: int, interval: float) -> list[Frame]:
    """Write the frames that differ from the one before, at most one per interval, as JPEG files.

    Whenever there are more than the limit, every second one goes and the interval doubles, so that
    those that stay are spread over the whole video, however long it is and whatever it says of its
    length.

    Args:
        capture: The opened video.
        folder: Where to write.
        most: The largest number of frames.
        interval: The shortest time between two frames, in seconds.

    Returns:
        The frames, in their order.
    """
    rate = capture.get(cv2.CAP_PROP_FPS)
    rate = rate if 0.1 <= rate <= 1000 else _USUAL_RATE
    length = capture.get(cv2.CAP_PROP_FRAME_COUNT) / rate
    length = length if 0 < length < 1e6 else 0.0
    frames: list[Frame] = []
    second, told, following, said = 0.0, -math.inf, 0.0, -1
    while capture.grab():
        stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if stamp > told:  # nan and what goes back do not count
            second, told = max(second, stamp) if math.isfinite(stamp) else second, stamp
        else:
            second += 1 / rate
        if int(second) > said:
            said = int(second)
            print(json.dumps({"second": said, "of": math.ceil(length)}), flush=True)
        if second < following:
            continue
        decoded, pixels = capture.retrieve()
        if not decoded or pixels is None or pixels.ndim != 3:
            continue
        following = second + interval
        colors = cv2.resize(pixels, (_GRID, _GRID), interpolation=cv2.INTER_AREA).astype(np.float32)
        if frames and np.abs(colors - frames[-1].colors).max() < _CHANGED:
            continue
        frames.append(Frame(second, _write(pixels, folder, second), colors))
        if len(frames) > most:
            for frame in frames[1::2]:
                frame.path.unlink()
            frames, interval = frames[::2], 2 * interval
            following = frames[-1].second + interval
    return frames


def _write(pixels: NDArray[np.uint8], folder: Path, second: float) -> Path:
    """Write one frame; its name is its time in hundredths of a second."""
    height, width = pixels.shape[:2]
    scale = math.sqrt(_STORED_PIXELS / (height * width))
    if scale < 1:
        shape = max(1, round(scale * width)), max(1, round(scale * height))
        pixels = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    path = folder / f"{min(round(100 * second), 10**10 - 1):010}.jpg"
    while path.exists():  # two frames in one hundredth
        path = path.with_stem(f"{int(path.stem) + 1:010}")
    _, data = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    _limit_open_files(most)
    path.write_bytes(data.tobytes())
    _limit_open_files(allowed)
    return path


def _limit_open_files(number: int) -> None:
    """Let this process open no file whose descriptor is this number or more."""
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (number, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )


def _end(**result: Any) -> NoReturn:
    print(json.dumps(result), flush=True)
    sys.stdout.close()
    os._exit(0)  # nothing of FFmpeg is asked to clean up


if __name__ == "__main__":
    main()
