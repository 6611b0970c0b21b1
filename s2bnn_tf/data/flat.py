"""Files, folders and videos as one list of pictures, without classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from s2bnn_tf.data.folder import Listing, list_video, take_frames
from s2bnn_tf.data.pictures import find_pictures
from s2bnn_tf.data.video import VIDEO_EXTENSIONS, default_frames_dir, is_video
from s2bnn_tf.errors import DataError
from s2bnn_tf.progress import Progress
from s2bnn_tf.text import printable


def list_pictures(
    images: Sequence[str | Path],
    frames_dir: Path | None = None,
    progress: Progress | None = None,
) -> Listing:
    """List pictures, those below folders, and the frames of videos.

    Args:
        images: Picture files, folders, videos, and frames of videos by their names, such as
            `clip.mp4/0000000150.jpg`. `folder:` and `video:` may stand before a path.
        frames_dir: Where frames of videos are kept; by default `default_frames_dir()`.
        progress: Called while videos are decoded.

    Returns:
        The pictures in the order given; those of a folder are sorted.

    Raises:
        DataError: If something does not exist, or a video that is named cannot be decoded.
    """
    frames_dir = frames_dir or default_frames_dir()
    parts = [_list(str(image), frames_dir, progress) for image in images]
    videos = {frame: video for part in parts for frame, video in part.videos.items()}
    said = "\n".join(part.said for part in parts if part.said)
    return Listing([path for part in parts for path in part.paths], None, (), said, videos=videos)


def path_of(spec: str | Path) -> Path:
    """The path in `folder:PATH`, `video:PATH` or a path alone."""
    return Path(str(spec).removeprefix("folder:").removeprefix("video:")).expanduser()


def _list(spec: str, frames_dir: Path, progress: Progress | None) -> Listing:
    path = path_of(spec)
    if path.is_dir():
        return _below(path, frames_dir, progress)
    if path.exists():
        if is_video(path) or spec.startswith("video:"):
            return list_video(path, frames_dir, progress)
        return Listing([path], None, ())
    if is_video(path.parent) and path.parent.is_file():
        frames = list_video(path.parent, frames_dir, progress).paths
        named = [frame for frame in frames if frame.name == path.name]
        if named:
            return Listing(named, None, (), videos={named[0]: path.parent})
    raise DataError(f"There is no image or folder {path}; check the path.")


def _below(folder: Path, frames_dir: Path, progress: Progress | None) -> Listing:
    found = find_pictures(folder, VIDEO_EXTENSIONS)
    frames = take_frames(found, frames_dir, progress)
    reasons = [f"{count} {reason}" for reason, count in found.left_out.items()] + found.closed
    said = f"{printable(str(folder))}: left out: {printable(', '.join(reasons))}."
    return Listing(
        [frames.get(path, path) for path in found.paths],
        None,
        (),
        said if reasons else "",
        videos={frame: place.parent for place, frame in frames.items()},
    )
