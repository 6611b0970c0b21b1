"""Which pictures show the same thing: near-duplicates, those of one burst, frames of one video.

What is held out to measure an encoder must not be known to it from a neighbor in time or from a
copy: others measured 93 % with such leaks, and 82 % without.
"""

from __future__ import annotations

import calendar
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from s2bnn_tf.data import DecodedSource
from s2bnn_tf.progress import Progress, no_progress

_SIDE = 24  # of the gray thumbnails that are compared
_COLOR_SIDE = 4
_ENOUGH = (4.0 * _SIDE, 4.0 * _SIDE)  # height and width that a large JPEG is decoded to
_SIMILAR = 0.975  # correlation of two gray thumbnails
_SAME_COLOR = 12.0  # of 255, the mean difference of two color thumbnails
_BURST_SECONDS = 2.0  # between one picture and the next
_MOST_COMPARED = 50_000  # pictures: every pair of them takes a minute on two cores
_CHUNK = 2048
_EXIF_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF")
_EXIF, _TIME, _FRACTION, _CAMERA = 0x8769, 0x9003, 0x9291, 0x0110


def find_groups(source: DecodedSource, progress: Progress | None = None) -> NDArray[np.int64]:
    """Number the groups of pictures that must stay together.

    Two pictures belong together if one is the other resized, recompressed or hardly cropped, or
    if the same camera took them within two seconds. Different parts of one photograph do not.
    Beyond 50,000 pictures, only bursts are found.

    Args:
        source: N images. Those that cannot be decoded belong to no other, and are noted in it.
        progress: Called after each part of the pictures.

    Returns:
        int64 `(N,)`, the number of the group of each picture, from 0.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(source)
    pairs = _bursts([Path(str(source.identify(i))) for i in range(count)])
    if count <= _MOST_COMPARED:
        pairs = np.concatenate([pairs, _near_duplicates(source, progress or no_progress)])
    graph = coo_array((np.ones(len(pairs), bool), pairs.T), shape=(count, count))
    numbers: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return numbers


def _near_duplicates(source: DecodedSource, progress: Progress) -> NDArray[np.int64]:
    """Pairs of pictures that look the same, `(P, 2)`."""
    gray, color, usable = _thumbnails(source, progress)
    pairs = [np.zeros((0, 2), np.int64)]
    for begin in range(0, len(gray), _CHUNK):
        rows = gray[begin : begin + _CHUNK]
        first, second = np.nonzero(rows @ gray.T > _SIMILAR)
        first += begin
        kept = (first < second) & usable[first] & usable[second]
        first, second = first[kept], second[kept]
        alike = np.abs(color[first] - color[second]).mean(axis=1) < _SAME_COLOR
        pairs.append(np.stack([first[alike], second[alike]], axis=1))
    return np.concatenate(pairs)


def _thumbnails(
    source: DecodedSource, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Gray thumbnails of unit length without their mean, color thumbnails, and which are usable.

    A picture without any contrast resembles every other one, so it is compared with none.
    """
    gray = np.zeros((len(source), _SIDE**2), np.float32)
    color = np.zeros((len(source), 3 * _COLOR_SIDE**2), np.float32)
    usable = np.zeros(len(source), bool)

    def shrink(index: int) -> None:
        pixels = source.decode_or_note(index, _ENOUGH)
        if pixels is None:
            return
        small = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX)
        values = np.asarray(small.convert("L"), np.float32).ravel()
        values = values - values.mean()
        length = float(np.linalg.norm(values))
        if length > _SIDE:  # a standard deviation of one gray level
            gray[index], usable[index] = values / length, True
        tiny = small.resize((_COLOR_SIDE, _COLOR_SIDE), Image.Resampling.BOX)
        color[index] = np.asarray(tiny, np.float32).ravel()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(shrink, range(len(source))), 1):
            if done % 100 == 0 or done == len(source):
                progress("Looking for near-duplicates", done, len(source))
    return gray, color, usable


def _bursts(paths: Sequence[Path]) -> NDArray[np.int64]:
    """Pairs of consecutive pictures of one burst, `(P, 2)`."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        moments = list(pool.map(capture_moment, paths))
    by_camera = sorted((*moment, i) for i, moment in enumerate(moments) if moment is not None)
    pairs = [
        (first, second)
        for (camera, before, first), (other, after, second) in zip(by_camera, by_camera[1:])
        if camera == other and after - before <= _BURST_SECONDS
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def capture_moment(path: Path) -> tuple[str, float] | None:
    """Read which camera took a picture, and when, in seconds; None if the file does not say."""
    try:
        with Image.open(path, formats=_EXIF_FORMATS) as image:
            exif = image.getexif()
            details = exif.get_ifd(_EXIF)
        moment = time.strptime(str(details[_TIME]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        fraction = str(details.get(_FRACTION, "")).strip("\0 ")
        seconds = calendar.timegm(moment) + (float(f"0.{fraction}") if fraction.isdigit() else 0.0)
        return str(exif.get(_CAMERA, "")).strip("\0 "), seconds
    except Exception:  # noqa: BLE001  most pictures say nothing, and damaged EXIF raises anything
        return None


def join_videos(groups: NDArray[np.int64], videos: Sequence[Path | None]) -> NDArray[np.int64]:
    """Join the groups that have frames of the same video.

    Args:
        groups: `(N,)`, the group of each picture.
        videos: The video of each of the N pictures; None for those that are no frame of one.

    Returns:
        int64 `(N,)`, the number of the joined group of each picture, from 0.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    last: dict[Path | int, int] = {}
    pairs = [(i, i) for i in range(len(groups))]
    for i, (group, video) in enumerate(zip(groups.tolist(), videos)):
        for name in (group, video):
            if name is not None:
                pairs.append((last.get(name, i), i))
                last[name] = i
    first, second = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(groups),) * 2)
    numbers: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return numbers


def cut_videos(
    test: NDArray[np.bool_], videos: Sequence[Path | None], share: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Hold out the end of each video, where whole videos cannot be held out.

    Args:
        test: bool `(N,)`, what is held out already. Its videos are left whole.
        videos: The video of each of the N pictures, whose frames are in the order of time; None
            for those that are no frame of one.
        share: The share of each video, 0 to 1.

    Returns:
        bool `(N,)`, what is held out; and bool `(N,)`, False for the frames in the gap before the
        end, a twentieth of the video and at least two frames, which are not used at all.
    """
    test, kept = test.copy(), np.ones(len(test), bool)
    frames: dict[Path, list[int]] = {}
    for i, video in enumerate(videos):
        if video is not None and not test[i]:
            frames.setdefault(video, []).append(i)
    for indices in frames.values():
        held_out, gap = round(share * len(indices)), max(2, math.ceil(len(indices) / 20))
        begin = len(indices) - held_out
        if held_out and begin - gap >= held_out:
            test[indices[begin:]] = True
            kept[indices[begin - gap : begin]] = False
    return test, kept


def hold_out(
    groups: NDArray[np.int64], labels: NDArray[np.int64], keys: Sequence[bytes], share: float
) -> NDArray[np.bool_]:
    """Choose pictures to measure with: a share of each class, in whole groups.

    Args:
        groups: `(N,)`, the group of each picture.
        labels: `(N,)`, the class of each picture; -1 for those without one, which are only held
            out where no picture has a class.
        keys: N digests, which decide what is chosen, the same on every machine.
        share: The share of each class, 0 to 1.

    Returns:
        bool `(N,)`. Each class has at least one picture on the other side. Where what fits into
        the share is less than half of it, the smallest other group is held out too, if it is not
        most of its class.
    """
    order = sorted(range(len(keys)), key=keys.__getitem__)
    ranks = np.empty(len(keys), np.int64)
    ranks[order] = np.arange(len(keys))
    first = np.full(int(groups.max(initial=-1)) + 1, len(keys))
    np.minimum.at(first, groups, ranks)
    chosen = np.zeros(len(first), bool)
    for label in set(labels.tolist()) - ({-1} if (labels >= 0).any() else set()):
        members, counts = np.unique(groups[labels == label], return_counts=True)
        total = int(counts.sum())
        wanted = share_of_it = round(share * total)
        for index in np.argsort(first[members]):
            group, inside = members[index], int(counts[index])
            if inside <= wanted and inside < total:
                chosen[group] = True
                wanted -= inside
        left = [index for index in np.argsort(counts) if not chosen[members[index]]]
        if 2 * wanted > share_of_it and left and 2 * counts[left[0]] <= total:
            chosen[members[left[0]]] = True
    return chosen[groups]
