"""Frames of a camera in place of pictures: which part of them the network sees, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data import center_offset, covering_shape, resample_coefficients
from s2bnn_tf.errors import ConfigError, ModelError
from s2bnn_tf.export.c_source.builder import Builder
from s2bnn_tf.export.c_source.network import Network
from s2bnn_tf.export.c_source.normal import NormalPart
from s2bnn_tf.export.c_source.steps import Step
from s2bnn_tf.tflite import TFLiteEncoder

LAYOUTS = {"rgb888": 3, "rgb565": 2, "gray8": 1}  # bytes of a pixel
_LARGEST_SIDE = 16_384
_ONE = 1 << 22  # Pillow's fixed point


@dataclass(frozen=True)
class Axis:
    """How an axis of the frame is resampled, as in `s2bnn_axis`.

    Attributes:
        first: The first line of the frame that each line of the picture is made from, `(L,)`.
        factors: Its factor and those of the lines behind it, `(L, T)`.
    """

    first: NDArray[np.int16]
    factors: NDArray[np.int32]

    def reversed(self) -> Axis:
        """The same lines in the other order."""
        return Axis(self.first[::-1], self.factors[::-1])


@dataclass(frozen=True)
class Camera:
    """Frames of a camera.

    Attributes:
        layout: A key of `LAYOUTS`.
        height: The height of a frame in pixels.
        width: The width of a frame in pixels.
        rows: How its rows are resampled.
        columns: How its columns are resampled.
    """

    layout: str
    height: int
    width: int
    rows: Axis
    columns: Axis

    @property
    def kind(self) -> str:
        """The type of a number of the frame in C."""
        return "uint16_t" if self.layout == "rgb565" else "unsigned char"

    @property
    def bytes(self) -> int:
        """The bytes of a frame."""
        return self.height * self.width * LAYOUTS[self.layout]


def read_camera(
    layout: str, frame: str | None, *, model: str | Path, normal: NormalPart | None = None
) -> Camera | None:
    """Find what a network sees of a camera's frames: the crop of the host, or a region.

    Args:
        layout: A key of `LAYOUTS`, or `"float"` for a picture that is resized already.
        frame: `"WIDTHxHEIGHT"`.
        model: The `.tflite`, whose card names the crop.
        normal: What is normal, which may be of a region of the frame.

    Returns:
        None for a picture that is resized already.

    Raises:
        ConfigError: If the size is missing or no size, or the region is not inside.
        ModelError: If the network takes no picture of one or three channels.
    """
    if (layout == "float") != (frame is None):
        raise ConfigError(
            "--input rgb888, rgb565 or gray8 and --frame WIDTHxHEIGHT belong together: give both, "
            "or neither."
        )
    if frame is None:
        return None
    height, width = _size(frame)
    encoder = TFLiteEncoder(model)
    if encoder.channels not in (1, 3):
        raise ModelError(f"{model} takes no picture of 1 or 3 channels: leave --input away.")
    sides = encoder.image_size
    shape = (sides, sides) if isinstance(sides, int) else (sides[0], sides[1])
    if normal is not None and (normal.roi is not None or normal.tiles > 1):
        rows, columns = _of_region(normal, (height, width), shape)
    else:
        whole = covering_shape((height, width), shape, encoder.center_crop)
        rows, columns = (
            _axis(source, length, center_offset(length, side), side)
            for source, length, side in zip((height, width), whole, shape)
        )
    return Camera(layout, height, width, rows, columns)


def _size(frame: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", frame, re.ASCII)
    width, height = map(int, found.groups()) if found else (0, 0)
    if not 0 < max(width, height) <= _LARGEST_SIDE:
        raise ConfigError(
            f"--frame {frame[:20]!r} is no size of a frame: write WIDTHxHEIGHT in pixels, such as "
            f"320x240, each at most {_LARGEST_SIDE}."
        )
    return height, width


def _of_region(
    normal: NormalPart, frame: tuple[int, int], shape: tuple[int, int]
) -> tuple[Axis, Axis]:
    """The region of what is normal, resized whole."""
    if normal.tiles > 1:
        raise ConfigError(
            "What is normal was learned with --tiles, which a frame has no place for: learn it "
            "without, or leave --input away and resize the tiles yourself."
        )
    left, top, width, height = normal.roi or (0, 0, *frame[::-1])
    if left + width > frame[1] or top + height > frame[0]:
        raise ConfigError(
            f"The region {left},{top},{width},{height} of what is normal reaches beyond a frame "
            f"of {frame[1]}x{frame[0]}: give the size of the frames that it was learned from."
        )
    rows = _axis(height, shape[0], 0, shape[0], top)
    return rows, _axis(width, shape[1], 0, shape[1], left)


def _axis(source: int, length: int, begin: int, count: int, offset: int = 0) -> Axis:
    """Resample `source` lines to `length`, of which `count` from `begin` on are seen."""
    found = resample_coefficients(source, length, begin, count)
    if found is None:
        first = np.arange(begin, begin + count)
        return Axis((offset + first).astype(np.int16), np.full((count, 1), _ONE, np.int32))
    lines, factors = found
    taps = lines.shape[1]
    first = np.minimum(lines[:, 0], source - taps)
    moved = np.zeros((count, taps), np.int32)
    for line, (start, before) in enumerate(zip(first, lines[:, 0])):
        shift = int(before - start)  # at the end of the frame, so that nothing behind it is read
        moved[line, shift:] = factors[line, : taps - shift]
    return Axis((offset + first).astype(np.int16), moved)


def frame_step(network: Network, builder: Builder, camera: Camera) -> Step:
    """The step that makes a row of the picture, of numbers from 0 to 255."""
    before = builder.constants.size
    picture = network.values[network.input]
    axes = []
    for what, axis in (("columns", camera.columns), ("rows", camera.rows)):
        first = builder.constants.add(f"frame_{what}", axis.first)
        factors = builder.constants.add(f"frame_{what}_factors", axis.factors)
        axes.append(f"{{{axis.factors.shape[1]}, {first}, {factors}}}")
    layout = f"S2BNN_{camera.layout.upper()}"
    fields = [*map(str, (camera.width, picture.columns)), layout, str(picture.depth), *axes]
    name = builder.constants.add_struct("s2bnn_frame", "frame", fields, 10 * 4)
    output = network.input
    return Step(
        "camera frame",
        (),
        (),
        output,
        picture.rows,
        lambda call: [
            f"s2bnn_frame_row(&{name}, pixels, {call.row}, {call.scratch['sums']}, {call.output});"
        ],
        scratch={"sums": 4 * picture.columns * picture.depth},
        flash=builder.constants.size - before,
    )
